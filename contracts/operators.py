"""What operators tell a running order."""

from typing import Any, Self

from pydantic import BaseModel

from contracts.audit import Act
from contracts.orders import OrderStatus


class OperatorWord(BaseModel, frozen=True):
    """Who says it (the token's subject), why, by which request and from where."""

    operator: str
    note: str = ""
    request_id: str = ""
    from_address: str | None = None

    @classmethod
    def of(cls, act: Act, **said: Any) -> Self:
        return cls(operator=act.actor, note=act.note, request_id=act.request_id, from_address=act.from_address, **said)

    @property
    def said(self) -> str:
        """As timelines show it."""
        return f"{self.operator}: {self.note}" if self.note else self.operator

    @property
    def act(self) -> Act:
        """As the audit log has it."""
        return Act(actor=self.operator, note=self.note, request_id=self.request_id, from_address=self.from_address)


class Decision(OperatorWord, frozen=True):
    """An approval or a rejection."""

    approved: bool


class RetryOrder(OperatorWord, frozen=True):
    """Have a parked order go on."""


class ResolveOrder(OperatorWord, frozen=True):
    """Close a parked order by hand with a final status."""

    status: OrderStatus
