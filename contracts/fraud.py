"""How much one customer may spend, and what a check of that says."""

from enum import StrEnum

from pydantic import BaseModel


class FraudLimit(BaseModel, frozen=True):
    """What a customer may spend, in minor units, within any `window_s` seconds."""

    amount: int
    window_s: int


class Maintenance(BaseModel, frozen=True):
    """While it is enabled no order can be checked: orders wait."""

    enabled: bool


class FraudSettings(BaseModel, frozen=True):
    """What operators have set. No `limit`: it is off."""

    limit: FraudLimit | None
    maintenance: Maintenance


class Verdict(StrEnum):
    """What a check says of an order. `maintenance` says nothing yet: ask again later."""

    NOT_NEEDED = "not_needed"
    PASSED = "passed"
    OVER_LIMIT = "over_limit"
    MAINTENANCE = "maintenance"
