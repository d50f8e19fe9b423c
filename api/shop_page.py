"""The shop's pages as they are written: the texts are in templates/shop, the words for our codes are here."""

from collections.abc import Mapping

import pycountry

from api.fulfilment_resource import PaymentStatus
from api.page_writing import Pages
from contracts.fulfilments import FulfilmentStatus
from contracts.orders import EventType
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
EVENTS: Mapping[EventType, str] = {
    EventType.ACCEPTED: "Order accepted",
    EventType.RESERVED: "Items set aside",
    EventType.CUSTOMER_ASKED: "Your answer is needed",
    EventType.AMENDED: "Unavailable items taken off",
    EventType.ADDRESS_CHANGED: "Address changed",
    EventType.APPROVAL_REQUESTED: "Approval asked for",
    EventType.APPROVED: "Approved",
    EventType.CHARGED: "Payment taken",
    EventType.SHIPPED: "Handed to the carrier",
    EventType.COMPLETED: "Completed",
    EventType.PARTIALLY_COMPLETED: "Partly completed",
    EventType.COMPENSATION_STARTED: "Being undone",
    EventType.SHIPMENT_CANCELLED: "Shipment called back",
    EventType.REFUNDED: "Payment returned",
    EventType.RESERVATION_RELEASED: "Items put back",
    EventType.NEEDS_ATTENTION: "Passed to our staff",
    EventType.RETRIED: "Taken up again by our staff",
    EventType.RESOLVED: "Closed by our staff",
    EventType.REJECTED: "Rejected",
    EventType.CANCELLED: "Cancelled",
}
PARCELS: Mapping[FulfilmentStatus, tuple[str, str]] = {
    FulfilmentStatus.UNAVAILABLE: ("Not available", "wait"),
    FulfilmentStatus.PENDING: ("Waiting", "calm"),
    FulfilmentStatus.PROCESSING: ("In progress", "calm"),
    FulfilmentStatus.SHIPPED: ("Shipped", "good"),
    FulfilmentStatus.DELIVERED: ("Delivered", "good"),
    FulfilmentStatus.FAILED: ("Not sent", "bad"),
    FulfilmentStatus.CANCELLED: ("Cancelled", "bad"),
}
PAYMENTS: Mapping[PaymentStatus, tuple[str, str]] = {
    PaymentStatus.PENDING: ("Under way", "calm"),
    PaymentStatus.CHARGED: ("Paid", "good"),
    PaymentStatus.PARTIALLY_CHARGED: ("Partly paid", "good"),
    PaymentStatus.DECLINED: ("Declined", "bad"),
    PaymentStatus.REFUNDED: ("Returned", "calm"),
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

_PAGES = Pages(
    "shop",
    filters={"country": lambda code: COUNTRIES.get(code, code)},
    values={
        "statuses": STATUSES,
        "events": EVENTS,
        "parcels": PARCELS,
        "payments": PAYMENTS,
        "test_cards": TEST_CARDS,
        "field_names": FIELDS,
        "countries": COUNTRIES,
    },
)
page, rendered = _PAGES.page, _PAGES.rendered
