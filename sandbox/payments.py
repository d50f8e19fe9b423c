"""The payment provider: the endpoints of Stripe's API that an order needs, under /payments/v1."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox import stripe
from sandbox.calls import Answer, AtTheDoor, Call
from sandbox.cards import GENERIC_DECLINE, NEEDS_AUTHENTICATION, TEST_CARDS
from sandbox.faults import Behaviour, Faults, Operation, Provider
from sandbox.ledger import Ledger, StoredAnswer
from sandbox.stripe import Form, Page, StripeError
from sandbox.waiting import Waiting

Effect = Callable[[bool], dict[str, Any]]
"""What a valid request will do once it is let through; the flag says that it is to be declined."""

# Stripe stores an answer once its endpoint began to run; a replay never gets that far.
INSIDE_THE_ENDPOINT = frozenset({Behaviour.DECLINE, Behaviour.ERROR_AFTER})

BROKEN = StripeError(500, "An unknown error occurred.", error_type="api_error").answer()
DOOR = AtTheDoor(
    broken=BROKEN,
    unavailable=StripeError(503, "Stripe is temporarily unavailable.", error_type="api_error").answer(),
    too_many=StripeError(429, "Too many requests hit the API too quickly.", code="rate_limit").answer(),
)

LONGEST_KEY = 255

_CHARGE_PARAMETERS = frozenset(
    {
        "amount",
        "automatic_payment_methods",
        "confirm",
        "currency",
        "description",
        "error_on_requires_action",
        "metadata",
        "payment_method",
        "payment_method_types",
    }
)
_REFUND_PARAMETERS = frozenset({"amount", "metadata", "payment_intent", "reason"})
_REFUND_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


class Payments:
    """Takes and returns money, once per idempotency key, unless a fault says otherwise."""

    def __init__(self, ledger: Ledger, faults: Faults, waiting: Waiting) -> None:
        self.ledger = ledger
        self.faults = faults
        self.waiting = waiting
        self.executing: set[str] = set()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v1/payment_intents", self.charge, methods=["POST"]),
            Route("/v1/payment_intents", self.payment_intents, methods=["GET"]),
            Route("/v1/payment_intents/search", self.search, methods=["GET"]),
            Route("/v1/payment_intents/{id}", self.payment_intent, methods=["GET"]),
            Route("/v1/refunds", self.refund, methods=["POST"]),
            Route("/v1/refunds", self.refunds, methods=["GET"]),
            Route("/{path:path}", self.unknown, methods=["GET", "POST", "DELETE"]),
        ]

    async def charge(self, request: Request) -> Response:
        return await self._execute(request, Operation.CHARGE, self._prepare_charge)

    async def refund(self, request: Request) -> Response:
        return await self._execute(request, Operation.REFUND, self._prepare_refund)

    async def search(self, request: Request) -> Response:
        def found(call: Call) -> dict[str, Any]:
            wanted = stripe.metadata_query(request.query_params.get("query", ""))
            call.order_id = wanted.get("order_id")
            intents = self.ledger.payment_intents(call.order_id)
            matching = [intent for intent in intents if wanted.items() <= intent["metadata"].items()]
            return {
                "object": "search_result",
                "data": self._expanded(request, matching),
                "has_more": False,
                "next_page": None,
                "url": "/v1/payment_intents/search",
            }

        return self._look_up(request, found)

    async def payment_intents(self, request: Request) -> Response:
        def found(call: Call) -> dict[str, Any]:
            page = stripe.page_of(request.query_params)
            listed = self._page(page, "payment_intents", "/v1/payment_intents")
            return {**listed, "data": self._expanded(request, listed["data"])}

        return self._look_up(request, found)

    async def payment_intent(self, request: Request) -> Response:
        def found(call: Call) -> dict[str, Any]:
            intent = self._known_intent(call, request.path_params["id"])
            return self._expanded(request, [intent], "latest_charge")[0]

        return self._look_up(request, found)

    async def refunds(self, request: Request) -> Response:
        """Those of one payment, or a page of all."""

        def found(call: Call) -> dict[str, Any]:
            if "payment_intent" not in request.query_params:
                return self._page(stripe.page_of(request.query_params), "refunds", "/v1/refunds")
            intent = self._known_intent(call, stripe.required(dict(request.query_params), "payment_intent"))
            data = self.ledger.refunds(intent["id"])
            return {"object": "list", "data": data, "has_more": False, "url": "/v1/refunds"}

        return self._look_up(request, found)

    def _page(self, page: Page, table: Literal["payment_intents", "refunds"], url: str) -> dict[str, Any]:
        """A page of all, newest first: https://docs.stripe.com/api/pagination."""
        data = self.ledger.created(table, page.since, page.until, behind=page.starting_after, limit=page.limit + 1)
        return {"object": "list", "data": data[: page.limit], "has_more": len(data) > page.limit, "url": url}

    def _expanded(
        self, request: Request, intents: list[dict[str, Any]], field: str = "data.latest_charge"
    ) -> list[dict[str, Any]]:
        """The intents, each with its charge in full when that field was asked for."""
        if stripe.expands(request.query_params, field):
            for intent in intents:
                intent["latest_charge"] = stripe.charge(intent, self.ledger.refunds(intent["id"]))
        return intents

    async def unknown(self, request: Request) -> Response:
        path = request.path_params["path"]
        return StripeError(404, f"Unrecognized request URL ({request.method}: /{path}).").answer().response()

    def _look_up(self, request: Request, found: Callable[[Call], dict[str, Any]]) -> Response:
        call = Call(Provider.PAYMENTS, "search")
        try:
            stripe.require_secret_key(request)
            answer = Answer(200, json.dumps(found(call)))
        except StripeError as error:
            answer = error.answer()
        return self._reply(call, answer)

    def _known_intent(self, call: Call, intent_id: str) -> dict[str, Any]:
        intent = self.ledger.payment_intent(intent_id)
        if intent is None:
            raise stripe.missing("payment_intent", intent_id)
        call.order_id = _order_named_in(intent)
        return intent

    async def _execute(
        self, request: Request, operation: Operation, prepare: Callable[[Call, Form], Effect]
    ) -> Response:
        call = Call(Provider.PAYMENTS, operation, request.headers.get("idempotency-key") or None)
        try:
            stripe.require_secret_key(request)
            form = await stripe.read_form(request)
            call.order_id = self._order_of(form)
            fingerprint = stripe.fingerprint(form)
            stored = self._stored(call, request.url.path, fingerprint)
            effect = prepare(call, form)
        except StripeError as error:
            return self._reply(call, error.answer())
        subjects = {call.order_id, form.get("metadata[fulfilment_id]")}
        fault = self.faults.take(operation, subjects, INSIDE_THE_ENDPOINT if stored else frozenset())
        behaviour = call.fault = fault.behaviour if fault else None
        if refusal := DOOR.answer(fault):
            return self._reply(call, refusal)
        silent = behaviour is Behaviour.TIMEOUT_AFTER
        with self._holding(call.key):
            if fault and behaviour is Behaviour.SLOW:
                await self.waiting.delay(fault.delay_s)
            with self.ledger.transaction():
                answer = stored or _run(effect, behaviour)
                if call.key and not stored:
                    self.ledger.keep_payment_answer(call.key, StoredAnswer(request.url.path, fingerprint, answer))
                call.replayed = stored is not None
                self.ledger.log(call, None if silent else answer.status)
        if fault and silent:
            return await self.waiting.silence(request, fault.delay_s)
        return answer.response()

    def _order_of(self, form: Form) -> str | None:
        named = form.get("metadata[order_id]")
        if named or "payment_intent" not in form:
            return named
        intent = self.ledger.payment_intent(form["payment_intent"])
        return _order_named_in(intent) if intent else None

    def _stored(self, call: Call, path: str, fingerprint: str) -> Answer | None:
        """The answer this key got before, if any. Raises Stripe's errors for a key reused or still at work."""
        if call.key is None:
            return None
        if len(call.key) > LONGEST_KEY:
            raise StripeError(400, f"Idempotency-Key: at most {LONGEST_KEY} characters.")
        hint = f"Try using a key other than '{call.key}' if you meant to execute a different request."
        stored = self.ledger.payment_answer(call.key)
        if stored is None and call.key in self.executing:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {call.key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        if stored is None:
            return None
        if stored.path != path:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{stored.path}'). {hint}",
                error_type="idempotency_error",
            )
        if stored.fingerprint != fingerprint:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                + hint,
                error_type="idempotency_error",
            )
        return Answer(stored.answer.status, stored.answer.body, {"Idempotent-Replayed": "true"})

    @contextmanager
    def _holding(self, key: str | None) -> Iterator[None]:
        """Mark the key as at work, for as long as its answer is not stored."""
        if key is None:
            yield
            return
        self.executing.add(key)
        try:
            yield
        finally:
            self.executing.discard(key)

    def _reply(self, call: Call, answer: Answer) -> Response:
        """Answer a request that had no effect."""
        with self.ledger.transaction():
            self.ledger.log(call, answer.status)
        return answer.response()

    def _prepare_charge(self, call: Call, form: Form) -> Effect:
        stripe.require_known(form, _CHARGE_PARAMETERS)
        amount = stripe.amount_from(stripe.required(form, "amount"))
        currency = stripe.currency_from(stripe.required(form, "currency"))
        card = stripe.required(form, "payment_method")
        if form.get("confirm") != "true":
            raise StripeError(400, "This stand-in only takes payments with confirm=true.", param="confirm")

        def charge(declined: bool) -> dict[str, Any]:
            if card not in TEST_CARDS:
                raise stripe.missing("PaymentMethod", card, status=400, param="payment_method")
            intent = stripe.payment_intent(form, amount, currency)
            refusal = GENERIC_DECLINE if declined else TEST_CARDS[card]
            if refusal is NEEDS_AUTHENTICATION and form.get("error_on_requires_action") != "true":
                intent.update(amount_received=0, status="requires_action", next_action={"type": "use_stripe_sdk"})
                refusal = None
            error = refusal and stripe.refuse(intent, refusal)
            self.ledger.add_payment_intent(intent, call.key, call.order_id)
            if error:
                raise error
            return intent

        return charge

    def _prepare_refund(self, call: Call, form: Form) -> Effect:
        stripe.require_known(form, _REFUND_PARAMETERS)
        intent_id = stripe.required(form, "payment_intent")
        asked = stripe.amount_from(form["amount"]) if "amount" in form else None
        if form.get("reason", "duplicate") not in _REFUND_REASONS:
            raise StripeError(
                400, "Invalid reason: must be one of " + ", ".join(sorted(_REFUND_REASONS)), param="reason"
            )

        def refund(declined: bool) -> dict[str, Any]:
            intent = self.ledger.payment_intent(intent_id)
            if intent is None:
                raise stripe.missing("payment_intent", intent_id, param="payment_intent")
            charge = intent["latest_charge"]
            if intent["status"] != "succeeded":
                raise StripeError(400, f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
            if declined:
                raise StripeError(
                    400, f"Charge {charge} has been charged back; cannot issue a refund.", code="charge_disputed"
                )
            left = intent["amount"] - sum(earlier["amount"] for earlier in self.ledger.refunds(intent_id))
            if left == 0:
                raise StripeError(400, f"Charge {charge} has already been refunded.", code="charge_already_refunded")
            amount = left if asked is None else asked
            if amount > left:
                raise StripeError(
                    400,
                    f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                    param="amount",
                )
            done = stripe.refund(form, intent, amount)
            self.ledger.add_refund(done, call.key, call.order_id)
            return done

        return refund


def _order_named_in(intent: dict[str, Any]) -> str | None:
    order_id: str | None = intent["metadata"].get("order_id")
    return order_id


def _run(effect: Effect, behaviour: Behaviour | None) -> Answer:
    try:
        answer = Answer(200, json.dumps(effect(behaviour is Behaviour.DECLINE)))
    except StripeError as error:
        answer = error.answer()
    return BROKEN if behaviour is Behaviour.ERROR_AFTER else answer
