"""Stripe's wire format: forms in, objects and errors out.

Parameters this stand-in does not know are refused, as Stripe refuses unknown ones: nothing is silently ignored.
"""

import json
import re
import secrets
import time
from collections.abc import Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import QueryParams
from starlette.requests import Request

from sandbox.calls import Answer
from sandbox.cards import Refusal

Form = dict[str, str]

LARGEST_AMOUNT = 99_999_999
"""In minor units; Stripe takes amounts of at most eight digits."""

LONGEST_PAGE = 100
END_OF_TIME = 2**53

_METADATA = re.compile(r"metadata\[([^\[\]]+)\]")
_CURRENCY = re.compile(r"[a-zA-Z]{3}")
_CLAUSE = re.compile(r"""metadata\[(?P<q>['"])(?P<name>.+?)(?P=q)\]:(?P<r>['"])(?P<value>.*?)(?P=r)(?: AND |$)""")


class StripeError(Exception):
    """A refusal in Stripe's shape: `{"error": {"type", "code", "message", "param", ...}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": error_type, "code": code, "message": message, "param": param, **more}

    def answer(self) -> Answer:
        error = {name: value for name, value in self.error.items() if value is not None}
        return Answer(self.status, json.dumps({"error": error}))


def missing(resource: str, resource_id: str, *, status: int = 404, param: str = "intent") -> StripeError:
    return StripeError(status, f"No such {resource}: '{resource_id}'", code="resource_missing", param=param)


def require_secret_key(request: Request) -> None:
    """Raises a 401 unless the request carries `Authorization: Bearer sk_...`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if not key.startswith("sk_"):
        raise StripeError(401, f"Invalid API Key provided: {key[:4]}****")


async def read_form(request: Request) -> Form:
    """The parameters of a POST under their bracketed names, such as `metadata[order_id]`."""
    content_type = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if not content_type.startswith("application/x-www-form-urlencoded"):
        raise StripeError(
            400, "Invalid request (check that your POST content type is application/x-www-form-urlencoded)."
        )
    try:
        return dict(parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise StripeError(400, "Invalid request: the body is not valid UTF-8.") from error


def fingerprint(form: Form) -> str:
    """Equal for forms that say the same, in whatever order."""
    return sha256(json.dumps(sorted(form.items())).encode()).hexdigest()


def metadata_of(form: Form) -> dict[str, str]:
    pairs = ((_METADATA.fullmatch(name), value) for name, value in form.items())
    return {name[1]: value for name, value in pairs if name and value}


def require_known(form: Form, known: Set[str]) -> None:
    for name in form:
        if name.partition("[")[0] not in known:
            raise StripeError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def required(form: Form, name: str) -> str:
    if not form.get(name):
        raise StripeError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    return form[name]


def amount_from(text: str) -> int:
    """A positive number of minor units."""
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise StripeError(400, "Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if len(text.lstrip("0")) > len(str(LARGEST_AMOUNT)):
        raise StripeError(400, "Amount must be no more than 999,999.99", code="amount_too_large", param="amount")
    return int(text)


def currency_from(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise StripeError(400, f"Invalid currency: {text}.", param="currency")
    return text.lower()


def metadata_query(query: str) -> dict[str, str]:
    """Read `metadata['a']:'x' AND metadata['b']:'y'`, the part of Stripe's search language that is played here."""
    wanted: dict[str, str] = {}
    end = 0
    while clause := _CLAUSE.match(query, end):
        wanted[clause["name"]] = clause["value"]
        end = clause.end()
    if not wanted or end < len(query) or query.endswith(" AND "):
        raise StripeError(
            400, "We were unable to parse your search query; here only metadata clauses joined by AND.", param="query"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; times are in seconds since the epoch."""

    limit: int
    since: int
    until: int
    starting_after: str | None


def page_of(query: QueryParams) -> Page:
    """Read the parameters of a list."""
    for name in query:
        if name not in ("limit", "created[gte]", "created[lt]", "starting_after", "expand[]"):
            raise StripeError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
    limit = _integer(query, "limit", 10)
    if not 1 <= limit <= LONGEST_PAGE:
        raise StripeError(400, f"limit must be between 1 and {LONGEST_PAGE}", param="limit")
    since, until = _integer(query, "created[gte]", 0), _integer(query, "created[lt]", END_OF_TIME)
    return Page(limit, since, until, query.get("starting_after"))


def expands(query: QueryParams, name: str) -> bool:
    """Whether the object behind this field is asked for; another one is not played here."""
    wanted = set(query.getlist("expand[]"))
    if wanted - {name}:
        raise StripeError(400, f"This property cannot be expanded here: {', '.join(wanted - {name})}.", param="expand")
    return name in wanted


def _integer(query: QueryParams, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise StripeError(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name)
    return int(text)


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def payment_intent(form: Form, amount: int, currency: str) -> dict[str, Any]:
    """A PaymentIntent that has taken its money."""
    return {
        "id": new_id("pi"),
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": amount,
        "capture_method": "automatic",
        "created": int(time.time()),
        "currency": currency,
        "description": form.get("description"),
        "last_payment_error": None,
        "latest_charge": new_id("ch"),
        "livemode": False,
        "metadata": metadata_of(form),
        "next_action": None,
        "payment_method": form["payment_method"],
        "payment_method_types": ["card"],
        "status": "succeeded",
    }


def refuse(intent: dict[str, Any], refusal: Refusal) -> StripeError:
    """Turn the intent into the one a refused card leaves behind, and return what the client is told."""
    said: dict[str, Any] = {
        "error_type": "card_error",
        "code": refusal.code,
        "decline_code": refusal.decline_code,
        "charge": intent["latest_charge"],
        "doc_url": "https://docs.stripe.com/error-codes",
    }
    intent.update(
        amount_received=0,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=StripeError(402, refusal.message, **said).error,
    )
    return StripeError(402, refusal.message, **said, payment_intent=intent)


def charge(intent: dict[str, Any], refunds: list[dict[str, Any]]) -> dict[str, Any]:
    """The last charge of a PaymentIntent."""
    refunded = sum(refund["amount"] for refund in refunds)
    return {
        "id": intent["latest_charge"],
        "object": "charge",
        "amount": intent["amount"],
        "amount_refunded": refunded,
        "created": intent["created"],
        "currency": intent["currency"],
        "payment_intent": intent["id"],
        "refunded": refunded == intent["amount_received"],
        "status": "succeeded" if intent["status"] == "succeeded" else "failed",
    }


def refund(form: Form, intent: dict[str, Any], amount: int) -> dict[str, Any]:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "charge": intent["latest_charge"],
        "created": int(time.time()),
        "currency": intent["currency"],
        "metadata": metadata_of(form),
        "payment_intent": intent["id"],
        "reason": form.get("reason"),
        "status": "succeeded",
    }
