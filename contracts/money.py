"""Money is an integer in the minor unit of its currency."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]

# Stripe takes at most eight digits; a price above it could never be charged.
MAX_AMOUNT = 99_999_999


class Money(BaseModel, frozen=True, extra="forbid"):
    """An amount in the minor unit of its currency (cents for usd)."""

    amount: Annotated[int, Field(ge=0, strict=True, examples=[1999])]
    currency: CurrencyCode = "usd"

    def __str__(self) -> str:
        return f"{self.amount / 100:,.2f} {self.currency}"
