"""What clients send. Strict: an unknown field is refused, and no number is taken for another kind of value."""

import hashlib
import json
from typing import Annotated, Any, Literal

import pycountry
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)

from contracts.customers import CustomerAction
from contracts.ids import WarehouseId
from contracts.money import MAX_AMOUNT, CurrencyCode
from contracts.orders import OrderStatus
from contracts.text import Note, ShortText, SoughtSku

MAX_LINES = 100
MAX_ON_HAND = 1_000_000_000
MAX_WAREHOUSES = 50
MAX_FRAUD_LIMIT = 1_000_000_000_000
MAX_FRAUD_WINDOW_S = 366 * 24 * 60 * 60
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)


def _existing_country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("must be an ISO 3166-1 alpha-2 country code in capitals, for example NO")
    return code


CountryCode = Annotated[
    str, AfterValidator(_existing_country), Field(examples=["NO"], json_schema_extra={"enum": sorted(COUNTRIES)})
]
PaymentMethod = Annotated[str, StringConstraints(pattern=r"^pm_[A-Za-z0-9_-]{1,252}$")]


class Body(BaseModel, frozen=True, extra="forbid"):
    """The base of every request body."""


def hash_of(body: Body) -> str:
    asked = body.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class LineBody(Body, frozen=True):
    """Units of one SKU; its price is the catalogue's."""

    sku: SoughtSku = Field(examples=["TEE-BLACK-M"])
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000, examples=[2])]


class ShipToBody(Body, frozen=True):
    """Where the parcel goes."""

    name: ShortText = Field(examples=["Ada"])
    line1: ShortText = Field(examples=["12 Long St"])
    line2: ShortText | None = None
    city: ShortText = Field(examples=["Oslo"])
    postal_code: ShortText = Field(examples=["0150"])
    country: CountryCode


class ShippingAddressBody(ShipToBody, frozen=True):
    """Where the parcel goes instead: a whole address, by itself or as the `ship_to` that orders are placed with."""

    note: Note | None = Field(default=None, description="why an operator does this")

    @model_validator(mode="before")
    @classmethod
    def _as_placed(cls, body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("ship_to"), dict) or body.keys() - {"ship_to", "note"}:
            return body
        return body["ship_to"] | {name: body[name] for name in ("note",) if name in body}

    @field_validator("line1")
    @classmethod
    def _has_a_number(cls, line1: str) -> str:
        if not any(character.isdigit() for character in line1):
            raise ValueError("must contain the house number: a digit")
        return line1


class PlaceOrderBody(Body):
    """An order, as a client places it."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "lines": [{"sku": "TEE-BLACK-M", "quantity": 2}],
                    "payment_method": "pm_card_visa",
                    "ship_to": {
                        "name": "Ada",
                        "line1": "12 Long St",
                        "city": "Oslo",
                        "postal_code": "0150",
                        "country": "NO",
                    },
                }
            ]
        },
    )

    lines: Annotated[list[LineBody], Field(min_length=1, max_length=MAX_LINES)]
    payment_method: PaymentMethod = Field(description="a payment method of the payment provider")
    ship_to: ShipToBody

    @field_validator("lines", mode="before")
    @classmethod
    def _few(cls, lines: Any) -> Any:
        # Before each line is looked at, so that a body full of wrong ones costs nothing.
        if isinstance(lines, list) and len(lines) > MAX_LINES:
            raise ValueError(f"an order has 1 to {MAX_LINES} lines")
        return lines

    @field_validator("lines")
    @classmethod
    def _each_sku_once(cls, lines: list[LineBody]) -> list[LineBody]:
        if len({line.sku for line in lines}) < len(lines):
            raise ValueError("each SKU may stand on one line only; add up its quantities")
        return lines

    @property
    def request_hash(self) -> str:
        """SHA-256 of what the client asked for, whatever its spelling.

        What is left at its default is left out, so that a field added later does not change older hashes.
        """
        return hash_of(self)


def _normalised(email: str) -> str:
    try:
        found = validate_email(email, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"must be an email address: {error}") from error
    if "=?" in found.local_part:
        # Allowed by RFC 5321; in a header it would be read as the beginning of an encoded word (RFC 2047).
        raise ValueError("must be an email address without =? before the @-sign")
    # No mail server that matters tells ada@ from Ada@, and people write either.
    return (found.ascii_email or found.normalized).lower()


class SignUpBody(Body, frozen=True):
    """Who signs up."""

    email: Annotated[str, StringConstraints(max_length=254), AfterValidator(_normalised)] = Field(
        examples=["ada@example.com"], json_schema_extra={"format": "email"}
    )
    name: ShortText = Field(examples=["Ada"])

    @property
    def request_hash(self) -> str:
        """SHA-256 of what the client asked for, whatever its spelling."""
        return hash_of(self)


class ConfirmBody(Body, frozen=True):
    """What the link in the mail carries."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class PriceBody(Body, frozen=True):
    """A price that can be charged, in the minor unit of its currency."""

    amount: Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT, examples=[1999])]
    currency: CurrencyCode = "usd"


Units = Annotated[int, Field(strict=True, ge=0, le=MAX_ON_HAND)]
UnitsByWarehouse = Annotated[dict[WarehouseId, Units], Field(min_length=1, max_length=MAX_WAREHOUSES)]
_UNITS: TypeAdapter[int] = TypeAdapter(Units)
_UNITS_BY_WAREHOUSE: TypeAdapter[dict[str, int]] = TypeAdapter(UnitsByWarehouse)


def _counted(on_hand: Any) -> int | dict[str, int]:
    # A union would name a field after each of its members when neither fits.
    if isinstance(on_hand, dict):
        return _UNITS_BY_WAREHOUSE.validate_python(on_hand)
    return _UNITS.validate_python(on_hand)


class NoteBody(Body, frozen=True):
    """Why an operator does this; kept in the audit log, and in the timeline of an order."""

    note: Note | None = Field(default=None, examples=["called the customer"])


class AsideBody(NoteBody, frozen=True, extra="ignore"):
    """Why somebody does this; kept in the audit log when an operator does it for somebody else.

    Such requests need no body, so that whatever else it holds is let pass.
    """


def note_of(body: NoteBody | None) -> str | None:
    return body.note if body else None


class CatalogueItemBody(NoteBody, frozen=True):
    """An item of the catalogue.

    `on_hand` counts the units in the default warehouse, or those in each warehouse by its id. Units that orders hold
    are included.
    """

    name: ShortText = Field(examples=["T-shirt, black, M"])
    price: PriceBody
    on_hand: Annotated[
        Units | UnitsByWarehouse, BeforeValidator(_counted), Field(examples=[100, {"wh_oslo": 3, "wh_lyon": 1}])
    ]


class FraudLimitBody(NoteBody, frozen=True):
    """What a customer may spend, in minor units, within any `window_s` seconds."""

    amount: Annotated[int, Field(strict=True, ge=1, le=MAX_FRAUD_LIMIT, examples=[200_000])]
    window_s: Annotated[int, Field(strict=True, ge=1, le=MAX_FRAUD_WINDOW_S, examples=[86_400])]


class MaintenanceBody(NoteBody, frozen=True):
    """Whether fraud checks are under maintenance."""

    enabled: Annotated[bool, Field(strict=True, examples=[True])]


class CustomerActionBody(NoteBody, frozen=True):
    """What to do about what is not available."""

    action: CustomerAction = Field(examples=["amend"])


FinalStatus = Literal[
    OrderStatus.COMPLETED, OrderStatus.PARTIALLY_COMPLETED, OrderStatus.CANCELLED, OrderStatus.REJECTED
]


class ResolveBody(NoteBody, frozen=True):
    """How an operator closes a parked order."""

    status: FinalStatus = Field(examples=["cancelled"])
