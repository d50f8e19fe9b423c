"""Payments over Stripe's API, version-independent parts only: https://docs.stripe.com/api."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from contracts.ids import fulfilment_number
from contracts.money import Money
from contracts.providers import (
    ChargeRequest,
    ProviderFailed,
    ProviderNeedsSearch,
    ProviderRefused,
    ProviderRequest,
    ProviderSilent,
    RefundRequest,
)
from contracts.reconciliation import Payment
from contracts.steps import Step
from contracts.upkeep import Period
from providers.http import send

NAME = "the payment provider"

# Stripe forgets an idempotency key after 24 hours: https://docs.stripe.com/api/idempotent_requests
KEY_LIFETIME = timedelta(hours=23)


# The longest that there is.
PAGE = "100"
# A charge tells how much of it was given back.
WITH_CHARGES = {"expand[]": "data.latest_charge"}


class PaymentProvider:
    """Charges and refunds. Every call that moves money carries its step's idempotency key."""

    def __init__(self, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        """`client` has the base URL and the API key; the provider has `timeout_s` for an answer."""
        self._client = client
        self._timeout_s = timeout_s

    async def charge(self, request: ChargeRequest, step: Step, *, timeout_s: float | None = None) -> str:
        """Take the amount and return the payment intent's id.

        Raises ProviderRefused when the card is declined (an authentication that we cannot ask for counts as that),
        ProviderFailed, ProviderSilent, or ProviderNeedsSearch when repeating can tell no more.
        """
        response = await self._post(
            "v1/payment_intents",
            step=step,
            timeout_s=timeout_s,
            form={
                "amount": str(request.amount.amount),
                "currency": request.amount.currency,
                "payment_method": request.payment_method,
                "confirm": "true",
                "error_on_requires_action": "true",
                "automatic_payment_methods[enabled]": "true",
                "automatic_payment_methods[allow_redirects]": "never",
                **_subject(request, step),
                "metadata[step]": "charge",
            },
        )
        intent = response.json()
        if intent["status"] != "succeeded":
            raise ProviderNeedsSearch(f"payment intent {intent['id']} is {intent['status']}")
        return str(intent["id"])

    async def find_charge(self, request: ChargeRequest, step: Step) -> str | None:
        """The id of the fulfilment's successful payment intent, by search; None when that shows nothing (yet).

        Raises ProviderRefused when it shows a declined one.
        """
        query = f"metadata['order_id']:'{request.order_id}' AND metadata['step']:'charge'"
        if step.names_fulfilment:
            query += f" AND metadata['fulfilment_id']:'{request.fulfilment_id}'"
        found = await self._get("v1/payment_intents/search", {"query": query})
        for intent in found:
            if intent["status"] == "succeeded":
                return str(intent["id"])
        for intent in found:
            if intent.get("last_payment_error"):
                raise ProviderRefused(intent["last_payment_error"]["message"])
        if found:
            raise ProviderSilent(f"payment intent {found[0]['id']} is still {found[0]['status']}")
        return None

    async def refund(self, request: RefundRequest, step: Step, *, timeout_s: float | None = None) -> str:
        """Give the charge back in full and return the refund's id. Raises as `charge` does."""
        response = await self._post(
            "v1/refunds",
            step=step,
            timeout_s=timeout_s,
            form={
                "payment_intent": request.charge_id,
                "amount": str(request.amount.amount),
                **_subject(request, step),
                "metadata[step]": "refund",
            },
        )
        refund = response.json()
        if refund["status"] in ("failed", "canceled"):
            raise ProviderRefused(f"refund {refund['id']} {refund['status']}")
        return str(refund["id"])

    async def find_refund(self, charge_id: str) -> str | None:
        """The id of the charge's refund; None when there is none (yet)."""
        for refund in await self._get("v1/refunds", {"payment_intent": charge_id}):
            if refund["status"] in ("succeeded", "pending"):
                return str(refund["id"])
        return None

    async def payments(self, period: Period) -> AsyncIterator[Sequence[Payment]]:
        """Every charge of an order that succeeded and was created in this time, a page at a time, newest first.

        Seconds are the provider's unit. Raises ProviderFailed or ProviderSilent, as all that follow do.
        """
        async for page in self._pages("v1/payment_intents", period, WITH_CHARGES):
            yield [payment for intent in page if (payment := _payment(intent))]

    async def charges_refunded(self, period: Period) -> AsyncIterator[Sequence[str]]:
        """The ids of the charges of which something was given back in this time, a page at a time, newest first."""
        async for page in self._pages("v1/refunds", period, {}):
            yield [refund["payment_intent"] for refund in page if refund["payment_intent"]]

    async def payments_of(self, order_id: str) -> Sequence[Payment]:
        """The charges of one order that succeeded, by search, which may not have those of the last minute."""
        query = {"query": f"metadata['order_id']:'{order_id}'", "limit": PAGE, **WITH_CHARGES}
        found = (await self._read("v1/payment_intents/search", query))["data"]
        return [payment for intent in found if (payment := _payment(intent))]

    async def payment(self, charge_id: str) -> Payment | None:
        """One charge; None when there is no such charge of an order that succeeded."""
        path = f"v1/payment_intents/{charge_id}"
        request = self._client.build_request("GET", path, params={"expand[]": "latest_charge"})
        response = await send(self._client, request, provider=NAME, timeout_s=self._timeout_s)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if not response.is_success:
            raise ProviderSilent(f"{path} answered {response.status_code}")
        return _payment(response.json())

    async def _pages(
        self, path: str, period: Period, more: Mapping[str, str]
    ) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        query = {
            "limit": PAGE,
            "created[gte]": str(int(period.since.timestamp())),
            "created[lt]": str(math.ceil(period.until.timestamp())),
            **more,
        }
        while True:
            page = await self._read(path, query)
            yield page["data"]
            if not page["has_more"]:
                return
            query["starting_after"] = page["data"][-1]["id"]

    async def _post(self, path: str, *, step: Step, form: dict[str, str], timeout_s: float | None) -> httpx.Response:
        if datetime.now(UTC) - step.begun_at > KEY_LIFETIME:
            raise ProviderNeedsSearch(f"the key of {path} is too old to be repeated safely")
        request = self._client.build_request("POST", path, data=form, headers={"Idempotency-Key": step.key})
        response = await send(self._client, request, provider=NAME, timeout_s=timeout_s or self._timeout_s)
        if response.is_success:
            return response
        if response.is_server_error:
            # Stripe keeps the answer to a key, also a 5xx: asking again would replay it for a day.
            if response.headers.get("idempotent-replayed") == "true":
                raise ProviderNeedsSearch(f"{path} replays its error {response.status_code}")
            raise ProviderSilent(f"{path} answered {response.status_code}")
        error = response.json().get("error", {})
        message = error.get("message", f"{path} answered {response.status_code}")
        if error.get("code") == "charge_already_refunded":
            raise ProviderNeedsSearch(message)
        if error.get("code") == "idempotency_key_in_use":
            raise ProviderSilent(message)
        if _is_refusal(path, response.status_code, error):
            raise ProviderRefused(message)
        # A wrong API key or a request that Stripe does not understand is ours to mend, not the customer's to bear:
        # retried, and then shown to an operator.
        raise ProviderFailed(message)

    async def _get(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        return list((await self._read(path, query))["data"])

    async def _read(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        request = self._client.build_request("GET", path, params=query)
        response = await send(self._client, request, provider=NAME, timeout_s=self._timeout_s)
        if not response.is_success:
            raise ProviderSilent(f"{path} answered {response.status_code}")
        page: dict[str, Any] = response.json()
        return page


def _subject(request: ProviderRequest, step: Step) -> dict[str, str]:
    subject = {"metadata[order_id]": request.order_id}
    return subject | {"metadata[fulfilment_id]": request.fulfilment_id} if step.names_fulfilment else subject


def fulfilment_of(metadata: Mapping[str, str]) -> int:
    """Which fulfilment of its order a payment is for. Orders had but one once, and their payments don't name it."""
    return fulfilment_number(metadata["fulfilment_id"]) if "fulfilment_id" in metadata else 1


def _payment(intent: Mapping[str, Any]) -> Payment | None:
    """None for what took no money, or not for an order: others may use the same account with the provider."""
    if intent["status"] != "succeeded" or "order_id" not in intent["metadata"]:
        return None
    return Payment(
        charge_id=intent["id"],
        order_id=intent["metadata"]["order_id"],
        amount=Money(amount=intent["amount_received"], currency=intent["currency"]),
        refunded=intent["latest_charge"]["amount_refunded"],
    )


def _is_refusal(path: str, status: int, error: dict[str, Any]) -> bool:
    """Whether it is this payment that Stripe says no to: https://docs.stripe.com/api/errors."""
    if status in (401, 403) or error.get("type") == "idempotency_error":
        return False
    about_this_payment = error.get("param") in ("amount", "payment_method")
    return path == "v1/refunds" or error.get("type") == "card_error" or about_this_payment
