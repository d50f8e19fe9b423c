"""What providers tell us of their own accord, by webhook."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, StringConstraints

# An id or a type that a provider made up: visible ASCII, which Postgres can keep.
ProviderWord = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7E]{1,255}$")]


class InboundProvider(StrEnum):
    PAYMENTS = "payments"
    CARRIER = "carrier"


class InboundEvent(BaseModel, frozen=True):
    """An event whose signature was good. `id` is the provider's, `body` the JSON text as it came."""

    provider: InboundProvider
    id: ProviderWord
    type: ProviderWord
    body: str
