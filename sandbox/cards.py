"""Stripe's documented test payment methods (docs.stripe.com/testing), as far as a card payment needs them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an issuer refuses, in Stripe's codes."""

    code: str
    message: str
    decline_code: str | None = None


GENERIC_DECLINE = Refusal("card_declined", "Your card was declined.", "generic_decline")

NEEDS_AUTHENTICATION = Refusal(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)

_GOOD = (
    "pm_card_visa",
    "pm_card_visa_debit",
    "pm_card_mastercard",
    "pm_card_mastercard_debit",
    "pm_card_mastercard_prepaid",
    "pm_card_amex",
    "pm_card_discover",
    "pm_card_diners",
    "pm_card_jcb",
    "pm_card_unionpay",
)

TEST_CARDS: dict[str, Refusal | None] = {
    **dict.fromkeys(_GOOD),
    "pm_card_visa_chargeDeclined": GENERIC_DECLINE,
    "pm_card_visa_chargeDeclinedInsufficientFunds": Refusal(
        "card_declined", "Your card has insufficient funds.", "insufficient_funds"
    ),
    "pm_card_visa_chargeDeclinedLostCard": Refusal("card_declined", "Your card was declined.", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": Refusal("card_declined", "Your card was declined.", "stolen_card"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": Refusal(
        "card_declined",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        "card_velocity_exceeded",
    ),
    "pm_card_chargeDeclinedExpiredCard": Refusal("expired_card", "Your card has expired."),
    "pm_card_chargeDeclinedIncorrectCvc": Refusal("incorrect_cvc", "Your card's security code is incorrect."),
    "pm_card_chargeDeclinedProcessingError": Refusal(
        "processing_error", "An error occurred while processing your card. Try again in a little bit."
    ),
    "pm_card_authenticationRequired": NEEDS_AUTHENTICATION,
}
