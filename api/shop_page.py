"""The shop's pages as they are written: the texts are in templates/shop, the words for our codes are here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pycountry
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from api.sessions import Session
from api.static_files import address_of
from contracts.money import Money
from contracts.orders import OrderStatus as Status

# Each with what it means to the customer, and the kind that its badge shows: good, wait, bad or calm.
STATUSES: Mapping[Status, tuple[str, str, str]] = {
    Status.ACCEPTED: ("Accepted", "We have your order.", "calm"),
    Status.AWAITING_APPROVAL: (
        "Waiting for approval",
        "Orders of this size are approved by our staff. Nothing is charged before that.",
        "wait",
    ),
    Status.AWAITING_CUSTOMER: (
        "Waiting for you",
        "Some of it is not available. Nothing is charged until you decide what we do.",
        "wait",
    ),
    Status.PROCESSING: ("In progress", "We are working on it.", "calm"),
    Status.NEEDS_ATTENTION: ("With our staff", "This took longer than it should, and a person looks after it.", "wait"),
    Status.COMPLETED: ("Completed", "Everything is paid and on its way.", "good"),
    Status.PARTIALLY_COMPLETED: (
        "Partly completed",
        "Some parcels are on their way, others could not be sent.",
        "wait",
    ),
    Status.CANCELLED: ("Cancelled", "Nothing will be sent, and no money is kept.", "bad"),
    Status.REJECTED: ("Rejected", "Nothing will be sent, and no money is kept.", "bad"),
}
# By their codes, since a newer worker may write one that this process does not know: it is shown as it is written.
EVENTS: Mapping[str, str] = {
    "accepted": "Order accepted",
    "reserved": "Items set aside",
    "approval_requested": "Approval asked for",
    "approved": "Approved",
    "charged": "Payment taken",
    "shipped": "Handed to the carrier",
    "delivered": "Delivered",
    "completed": "Completed",
    "partially_completed": "Partly completed",
    "compensation_started": "Order is being undone",
    "shipment_cancelled": "Shipment called back",
    "refunded": "Payment returned",
    "reservation_released": "Items put back",
    "needs_attention": "Passed to our staff",
    "retried": "Taken up again by our staff",
    "resolved": "Closed by our staff",
    "rejected": "Rejected",
    "cancelled": "Cancelled",
}
# Of parcels and payments.
KINDS: Mapping[str, str] = {
    "shipped": "good",
    "delivered": "good",
    "charged": "good",
    "unavailable": "wait",
    "failed": "bad",
    "declined": "bad",
    "cancelled": "bad",
}
PAYMENTS: Mapping[str, str] = {
    "pending": "Not paid yet",
    "charged": "Paid",
    "declined": "Declined",
    "refunded": "Returned",
}
TEST_CARDS: Mapping[str, str] = {
    "pm_card_visa": "Visa test card, accepted",
    "pm_card_mastercard": "Mastercard test card, accepted",
    "pm_card_visa_chargeDeclined": "Visa test card, declined",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "Visa test card, insufficient funds",
}
FIELDS: Mapping[str, str] = {
    "lines": "Goods",
    "name": "Name",
    "line1": "Street and number",
    "line2": "Apartment, floor",
    "postal_code": "Postal code",
    "city": "City",
    "country": "Country",
    "payment_method": "Card",
}
COUNTRIES: Mapping[str, str] = {
    country.alpha_2: getattr(country, "common_name", country.name)
    for country in sorted(pycountry.countries, key=lambda country: getattr(country, "common_name", country.name))
}

_ENVIRONMENT = Environment(
    loader=PackageLoader("api", "templates/shop"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, session: Session | None, *, status: int = 200, **facts: Any) -> Response:
    """A page for who has this session. Whatever `facts` say is escaped."""
    return HTMLResponse(rendered(template, session, **facts), status)


def rendered(template: str, session: Session | None, **facts: Any) -> str:
    """The text of a page, or of a part of one."""
    return _ENVIRONMENT.get_template(template).render(facts, session=session)


def _money(money: Money) -> str:
    return str(money).upper()


def _moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M:%S} UTC"


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()


_ENVIRONMENT.filters |= {
    "money": _money,
    "moment": _moment,
    "words": _words,
    "event": lambda code: EVENTS.get(code) or _words(code),
    "country": lambda code: COUNTRIES.get(code, code),
    "kind": lambda code: KINDS.get(code, "calm"),
}
_ENVIRONMENT.globals |= {
    "address_of": address_of,
    "statuses": STATUSES,
    "payments": PAYMENTS,
    "test_cards": TEST_CARDS,
    "field_names": FIELDS,
    "countries": COUNTRIES,
}
