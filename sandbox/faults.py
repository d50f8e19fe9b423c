"""The faults a test or an operator has asked for, and which request meets which.

They live in memory alone: a restarted sandbox behaves well.
"""

import itertools
from collections.abc import Collection, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Provider(StrEnum):
    """The outside systems this process stands for."""

    PAYMENTS = "payments"
    CARRIER = "carrier"
    EMAIL = "email"


class Operation(StrEnum):
    """What a provider can be asked to do, and so what can be made to fail."""

    CHARGE = "charge"
    REFUND = "refund"
    SHIP = "ship"
    CANCEL_SHIPMENT = "cancel_shipment"
    TRACK = "track"
    SEND = "send"


class Behaviour(StrEnum):
    """How a request goes wrong; docs/sandbox.md says what each looks like on the wire."""

    DECLINE = "decline"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    TIMEOUT_AFTER = "timeout_after"
    SLOW = "slow"
    RATE_LIMIT = "rate_limit"
    UNAVAILABLE = "unavailable"


OPERATIONS = {
    Provider.PAYMENTS: (Operation.CHARGE, Operation.REFUND),
    Provider.CARRIER: (Operation.SHIP, Operation.CANCEL_SHIPMENT, Operation.TRACK),
    Provider.EMAIL: (Operation.SEND,),
}

EVERYTHING = "*"

LONGEST_DELAY_S = 3600

DEFAULT_DELAYS_S = {Behaviour.SLOW: 3.0, Behaviour.TIMEOUT_AFTER: 60.0, Behaviour.RATE_LIMIT: 1.0}


class FaultPlan(BaseModel):
    """The body of POST /faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: Provider
    operation: Operation
    behaviour: Behaviour
    times: Annotated[int, Field(ge=1)] | None = Field(default=1, description="null: until the faults are cleared")
    delay_s: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_DELAY_S,
        allow_inf_nan=False,
        description="for slow, timeout_after and rate_limit",
    )
    match: str = Field(
        default=EVERYTHING,
        min_length=1,
        description="an order or fulfilment id, for mail a recipient's address or a Message-ID, or * for everything",
    )

    @field_validator("operation")
    @classmethod
    def _belongs_to_the_provider(cls, operation: Operation, info: ValidationInfo) -> Operation:
        provider = info.data.get("provider")
        if provider is not None and operation not in OPERATIONS[provider]:
            allowed = " or ".join(f"'{name}'" for name in OPERATIONS[provider])
            raise ValueError(f"Input should be {allowed} for provider '{provider}'")
        return operation


@dataclass(slots=True)
class Fault:
    """A plan in force, and how often it has fired."""

    id: str
    plan: FaultPlan
    fired: int = 0

    @property
    def behaviour(self) -> Behaviour:
        return self.plan.behaviour

    @property
    def delay_s(self) -> float:
        """How long this behaviour lasts, in seconds."""
        return DEFAULT_DELAYS_S[self.behaviour] if self.plan.delay_s is None else self.plan.delay_s

    @property
    def is_spent(self) -> bool:
        return self.plan.times is not None and self.fired >= self.plan.times

    def concerns(self, operation: Operation, subjects: Collection[str | None]) -> bool:
        """An operation belongs to one provider, so its name is enough."""
        return self.plan.operation is operation and (self.plan.match == EVERYTHING or self.plan.match in subjects)

    def as_json(self) -> dict[str, object]:
        return {"id": self.id, **self.plan.model_dump(mode="json"), "fired": self.fired}


class Faults:
    """Every fault asked for since the last clearing, in order of creation, spent ones included."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)

    def add(self, plan: FaultPlan) -> Fault:
        fault = Fault(id=f"flt_{next(self._numbers)}", plan=plan)
        self._faults.append(fault)
        return fault

    def all(self) -> list[Fault]:
        return list(self._faults)

    def clear(self) -> None:
        self._faults.clear()

    def take(
        self, operation: Operation, subjects: Collection[str | None], out_of_reach: Set[Behaviour] = frozenset()
    ) -> Fault | None:
        """Use up the oldest fault that concerns this request, if any.

        `subjects` is what the request is about: its order, or the recipients and Message-ID of a mail.
        `out_of_reach` names behaviours that cannot show on it (a stored answer cannot be declined any more); such
        faults wait for a request they can change, so that `fired` never counts one that did nothing.
        """
        for fault in self._faults:
            if fault.concerns(operation, subjects) and not fault.is_spent and fault.behaviour not in out_of_reach:
                fault.fired += 1
                return fault
        return None
