"""Accounts and the welcome that each gets. Only ids of accounts reach workflows: no address, name or text."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field, PositiveInt

HOUR_S = 60 * 60
DAY_S = 24 * HOUR_S


class AccountStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"


class Account(BaseModel, frozen=True):
    """Somebody who signed up. `email` is normalised: ASCII, lower case."""

    id: str
    email: str
    name: str
    status: AccountStatus
    created_at: datetime
    confirmed_at: datetime | None = None


class WelcomeRules(BaseModel, frozen=True):
    """When an unconfirmed address is reminded, and when it is given up on: seconds after the sign-up, ascending."""

    reminders_after_s: tuple[PositiveInt, ...] = (DAY_S, 3 * DAY_S)
    expires_after_s: PositiveInt = 7 * DAY_S


class Welcome(BaseModel, frozen=True):
    """What starts an account's welcome.

    Those that earlier versions began have no `signed_up_at`, and count from their start.
    """

    account_id: str
    signed_up_at: datetime | None = None
    rules: WelcomeRules = Field(default_factory=WelcomeRules)
