"""What customers say when a part of their order is not available."""

from enum import StrEnum


class CustomerAction(StrEnum):
    """`amend`: go on without it; `cancel`: undo the order."""

    AMEND = "amend"
    CANCEL = "cancel"
