"""A provider call as our books keep it: announced before it is made, settled when its outcome is known."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel

# The number of no fulfilment: a step that the order takes as a whole.
WHOLE_ORDER = 0


class StepName(StrEnum):
    CHECK_FRAUD = "check_fraud"
    CHARGE = "charge"
    SHIP = "ship"
    CANCEL_SHIPMENT = "cancel_shipment"
    REFUND = "refund"


class StepOutcome(StrEnum):
    """How a call ended; `absent` means that it was looked for and never had its effect."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    ABSENT = "absent"


class Outcome(BaseModel, frozen=True):
    """How a call ended. `reference` is the provider's id of the effect, `message` why it refused."""

    outcome: StepOutcome
    reference: str | None = None
    message: str | None = None


def succeeded(reference: str) -> Outcome:
    return Outcome(outcome=StepOutcome.SUCCEEDED, reference=reference)


def refused(message: str) -> Outcome:
    return Outcome(outcome=StepOutcome.REFUSED, message=message)


ABSENT = Outcome(outcome=StepOutcome.ABSENT)


class Step(BaseModel, frozen=True):
    """One provider call for a fulfilment of an order.

    `key` is its idempotency key, `begun_at` when that key was announced. No `outcome` means unknown: the call may or
    may not have had its effect. `reference` is the provider's id of the effect, `message` why it refused.
    """

    name: StepName
    # Orders had one fulfilment once, and their histories name none.
    fulfilment: int = 1
    key: str
    begun_at: datetime
    outcome: StepOutcome | None = None
    reference: str | None = None
    message: str | None = None

    @property
    def names_fulfilment(self) -> bool:
        """Whether its key names the fulfilment. Keys did not once, and what is sent under one must not change."""
        return "-" in self.key.partition(":")[0]

    @property
    def may_stand(self) -> bool:
        """Whether it had its effect, or may have had it."""
        return self.outcome in (None, StepOutcome.SUCCEEDED)


def find_step(steps: Iterable[Step], name: StepName, fulfilment: int) -> Step | None:
    return next((step for step in steps if step.name is name and step.fulfilment == fulfilment), None)


def outcome_of(steps: Iterable[Step], name: StepName, fulfilment: int) -> StepOutcome | None:
    """How a call ended; None when that is not known, or it was never announced."""
    step = find_step(steps, name, fulfilment)
    return step.outcome if step else None
