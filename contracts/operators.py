"""What operators tell a running order."""

from pydantic import BaseModel

from contracts.audit import Act
from contracts.orders import OrderStatus


class OperatorWord(BaseModel, frozen=True):
    """Who says it (the token's subject), and why."""

    operator: str
    note: str = ""
    request_id: str = ""

    @property
    def said(self) -> str:
        """As timelines show it."""
        return f"{self.operator}: {self.note}" if self.note else self.operator

    @property
    def act(self) -> Act:
        """As the audit log has it."""
        return Act(actor=self.operator, note=self.note, request_id=self.request_id)


class Decision(OperatorWord, frozen=True):
    """An approval or a rejection."""

    approved: bool


class RetryOrder(OperatorWord, frozen=True):
    """Have a parked order go on."""


class ResolveOrder(OperatorWord, frozen=True):
    """Close a parked order by hand with a final status."""

    status: OrderStatus
