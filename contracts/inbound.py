"""What providers tell us of their own accord, by webhook."""

from enum import Enum, StrEnum, auto
from typing import Annotated

from pydantic import BaseModel, StringConstraints

# An id or a type that a provider made up: visible ASCII, which Postgres can keep.
ProviderWord = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7E]{1,255}$")]


class InboundProvider(StrEnum):
    PAYMENTS = "payments"
    CARRIER = "carrier"


class Processing(Enum):
    """What became of an event: what it says was `DONE`; it says nothing that we know; or it waits for our books."""

    DONE = auto()
    UNKNOWN = auto()
    WAITS = auto()


class InboundEvent(BaseModel, frozen=True):
    """An event whose signature was good. `id` is the provider's, `body` the JSON text as it came."""

    provider: InboundProvider
    id: ProviderWord
    type: ProviderWord
    body: str
