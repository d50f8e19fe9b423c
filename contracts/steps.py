"""A provider call as our books keep it: announced before it is made, settled when its outcome is known."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class StepName(StrEnum):
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
    """One provider call of an order.

    `key` is its idempotency key, `begun_at` when that key was announced. No `outcome` means unknown: the call may or
    may not have had its effect. `reference` is the provider's id of the effect, `message` why it refused.
    """

    name: StepName
    key: str
    begun_at: datetime
    outcome: StepOutcome | None = None
    reference: str | None = None
    message: str | None = None


def find_step(steps: Iterable[Step], name: StepName) -> Step | None:
    return next((step for step in steps if step.name is name), None)
