"""What the payment provider's events change: an unknown charge is settled, once; a dispute is an item of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from activities.carrier_events import CarrierEvents
from activities.inbound import InboundEvents
from activities.payment_events import PaymentEvents
from contracts.ids import fulfilment_id
from contracts.inbound import InboundEvent, InboundProvider
from contracts.orders import OrderStatus
from contracts.outbox import OutboxKind, OutboxRow
from database.attention import AttentionRepository
from database.books import Books
from database.inbound import InboundRepository
from database.shipments import ShipmentRepository
from database.tables import attention_items, inbound_events
from tests.inbound_events import Json, dispute, encoded, new_id, payment_event
from tests.shop import POLL_S, WITHIN_S, Shop, ShopOrder
from tests.stack_session import RunningStack

AMOUNT = 1_999
SUCCEEDED = "payment_intent.succeeded"
COMPLETED = ["accepted", "reserved", "charged", "shipped", "completed"]
# Parks an order soon, or keeps it from parking while a test looks at it.
SHORT_S, LONG_S = 2, 600


@dataclass(frozen=True)
class Stripe:
    """The payment provider, which tells what it did; the API is not needed for it."""

    shop: Shop
    http: httpx.AsyncClient

    @property
    def repository(self) -> InboundRepository:
        return InboundRepository(self.shop.engine)

    @property
    def events(self) -> InboundEvents:
        """A second processor beside the worker's."""
        books, attention = Books(self.shop.engine), AttentionRepository(self.shop.engine)
        carrier = CarrierEvents(ShipmentRepository(self.shop.engine), self.shop.client)
        return InboundEvents(self.repository, PaymentEvents(books, attention, self.shop.client), carrier)

    async def intent_of(self, order: ShopOrder, fulfilment: int | None = None) -> Json:
        """The payment intent that this order's charge has made, or that of one of its fulfilments."""
        query = f"metadata['order_id']:'{order.id}' AND metadata['step']:'charge'"
        if fulfilment is not None:
            query += f" AND metadata['fulfilment_id']:'{fulfilment_id(order.id, fulfilment)}'"
        found = await self.http.get("/payments/v1/payment_intents/search", params={"query": query})
        [intent] = found.json()["data"]
        return dict(intent)

    async def tells(self, kind: str, about: Json, event_id: str | None = None) -> str:
        """Have an event kept, as the API does; the worker processes it."""
        event = payment_event(kind, about, event_id)
        await self.repository.keep(
            InboundEvent(provider=InboundProvider.PAYMENTS, id=event["id"], type=kind, body=encoded(event).decode())
        )
        return str(event["id"])

    async def told(self, kind: str, about: Json, event_id: str | None = None) -> None:
        """Have an event kept, and wait until it is processed."""
        kept = await self.tells(kind, about, event_id)
        query = select(inbound_events.c.processed_at).where(inbound_events.c.event_id == kept)
        async with asyncio.timeout(WITHIN_S):
            while await self._scalar(query) is None:
                await asyncio.sleep(POLL_S)

    async def items(self, source: str) -> list[tuple[str, str | None, str]]:
        """Kind, order and detail of what somebody has to look at because of this."""
        query = select(attention_items).where(attention_items.c.source == source)
        async with self.shop.engine.connect() as connection:
            return [(row.kind, row.order_id, row.detail) for row in await connection.execute(query)]

    async def _scalar(self, query: Any) -> Any:
        async with self.shop.engine.connect() as connection:
            return await connection.scalar(query)


@pytest.fixture
async def stripe(shop: Shop, stack: RunningStack) -> AsyncIterator[Stripe]:
    headers = {"Authorization": "Bearer sk_test_events"}
    async with httpx.AsyncClient(base_url=stack.sandbox_url, headers=headers) as http:
        yield Stripe(shop, http)


async def charged_and_silent(shop: Shop, *, window_s: int) -> ShopOrder:
    """An order whose card was charged without an answer, by a provider that gives none from then on."""
    order = await shop.order(amount=AMOUNT, retry_window_s=window_s)
    await order.meets("charge", "timeout_after")
    await order.meets("charge", "unavailable", times=None)
    await order.start()
    await asyncio.wait_for(shop.ledger.until_fired(order.id, "charge", "timeout_after"), WITHIN_S)
    assert len((await shop.ledger.effects(order.id)).charges) == 1
    return order


async def test_an_event_settles_the_charge_of_an_order_that_is_still_trying(shop: Shop, stripe: Stripe) -> None:
    order = await charged_and_silent(shop, window_s=LONG_S)

    await stripe.told(SUCCEEDED, await stripe.intent_of(order))

    evidence = await order.settled_evidence()
    assert evidence.timeline == COMPLETED
    assert evidence.view == evidence.agreed
    assert len(evidence.effects.charges) == 1
    assert evidence.effects.money_kept == AMOUNT


async def test_an_event_settles_the_charge_of_the_fulfilment_that_it_is_about(shop: Shop, stripe: Stripe) -> None:
    order = await shop.order(amount=AMOUNT, on_hand={"wh_1": 1, "wh_2": 1}, quantity=2, retry_window_s=LONG_S)
    await order.meets("charge", "timeout_after", fulfilment=2)
    await order.meets("charge", "unavailable", fulfilment=2, times=None)
    await order.start()
    await asyncio.wait_for(shop.ledger.until_fired(order.id, "charge", "timeout_after"), WITHIN_S)

    await stripe.told(SUCCEEDED, await stripe.intent_of(order, fulfilment=2))

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.COMPLETED
    assert evidence.view == evidence.agreed
    assert [row["amount"] for row in evidence.effects.charges] == [AMOUNT, AMOUNT]


async def test_an_event_settles_a_charge_whose_error_is_replayed(shop: Shop, stripe: Stripe) -> None:
    order = await shop.order(amount=AMOUNT, retry_window_s=LONG_S)
    await order.meets("charge", "error_after")
    await order.meets("charge", "unavailable", times=None)
    await order.start()
    await asyncio.wait_for(shop.ledger.until_fired(order.id, "charge", "unavailable"), WITHIN_S)

    await stripe.told(SUCCEEDED, await stripe.intent_of(order))

    evidence = await order.settled_evidence()
    assert evidence.timeline == COMPLETED
    assert len(evidence.effects.charges) == 1


async def test_an_event_has_a_parked_order_go_on(shop: Shop, stripe: Stripe) -> None:
    order = await charged_and_silent(shop, window_s=SHORT_S)
    await order.parked()
    intent = await stripe.intent_of(order)

    await stripe.told(SUCCEEDED, intent)

    evidence = await order.settled_evidence()
    assert evidence.timeline == [*COMPLETED[:2], "needs_attention", "retried", *COMPLETED[2:]]
    assert evidence.booked.timeline[3].detail == f"the payment provider: {intent['id']} has succeeded"
    assert evidence.view == evidence.agreed
    assert len(evidence.effects.charges) == 1


@pytest.mark.parametrize("window_s", [SHORT_S, LONG_S], ids=["parked", "still trying"])
async def test_an_event_for_an_order_that_is_being_undone_gives_the_money_back(
    shop: Shop, stripe: Stripe, window_s: int
) -> None:
    order = await charged_and_silent(shop, window_s=window_s)
    await order.cancel()
    if window_s == SHORT_S:
        await order.parked()

    await stripe.told(SUCCEEDED, await stripe.intent_of(order))

    evidence = await order.settled_evidence()
    assert evidence.status is OrderStatus.CANCELLED
    assert evidence.timeline[-4:] == ["charged", "refunded", "reservation_released", "cancelled"]
    assert evidence.view == evidence.agreed
    assert (len(evidence.effects.charges), evidence.effects.money_kept) == (1, 0)


async def test_many_events_of_one_charge_book_it_once(shop: Shop, stripe: Stripe) -> None:
    order = await charged_and_silent(shop, window_s=LONG_S)
    intent = await stripe.intent_of(order)
    # Created and processing are heard of late, and the success several times.
    kinds = [SUCCEEDED, SUCCEEDED, "payment_intent.processing", SUCCEEDED, "payment_intent.created"]

    ids = [await stripe.tells(kind, intent) for kind in kinds]
    rows = [
        OutboxRow(
            id=0,
            aggregate=f"inbound/payments/{event_id}",
            kind=OutboxKind.INBOUND_EVENT,
            payload={"provider": "payments", "event_id": event_id},
            created_at=order.placed.accepted_at,
        )
        for event_id in ids
    ]
    await asyncio.gather(*(stripe.events.handle(row) for row in rows * 2))

    assert (await order.settled_evidence()).timeline == COMPLETED
    assert await stripe.items(intent["id"]) == []


async def test_an_event_that_comes_after_the_answer_changes_nothing(shop: Shop, stripe: Stripe) -> None:
    order = await shop.place(amount=AMOUNT)
    before = await order.settled_evidence()
    intent = await stripe.intent_of(order)

    await stripe.told(SUCCEEDED, intent)

    assert await order.evidence() == before
    assert await stripe.items(intent["id"]) == []


async def test_the_text_of_an_event_goes_once_its_news_is_taken(shop: Shop, stripe: Stripe) -> None:
    told, of_no_use = new_id("evt"), new_id("evt")
    await stripe.told("charge.dispute.created", dispute(evidence={"customer_email_address": "ada@example.com"}), told)
    await stripe.told("customer.created", {"email": "ada@example.com"}, of_no_use)

    async with shop.engine.connect() as connection:
        rows = await connection.execute(
            select(inbound_events.c.event_id, inbound_events.c.body).where(
                inbound_events.c.event_id.in_([told, of_no_use])
            )
        )
        bodies = {row.event_id: row.body for row in rows}
    assert bodies[told] == ""
    # A later version may know what this type means.
    assert "ada@example.com" in bodies[of_no_use]


async def test_an_event_that_is_kept_again_is_not_processed_again(shop: Shop, stripe: Stripe) -> None:
    about = dispute()
    event_id = new_id("evt")
    await stripe.told("charge.dispute.created", about, event_id)

    await stripe.told("charge.dispute.created", dispute(id="du_of_the_duplicate"), event_id)

    assert len(await stripe.items(about["id"])) == 1
    assert await stripe.items("du_of_the_duplicate") == []


@pytest.mark.parametrize("kind", ["payment_intent.payment_failed", "payment_intent.canceled", "moon.risen"])
async def test_other_events_decide_nothing_while_the_call_itself_can(shop: Shop, stripe: Stripe, kind: str) -> None:
    order = await charged_and_silent(shop, window_s=LONG_S)

    await stripe.told(kind, await stripe.intent_of(order))

    assert (await order.booked()).status is OrderStatus.PROCESSING
    await shop.ledger.behave()
    assert (await order.settled_evidence()).timeline == COMPLETED


UNREADABLE: list[Json] = [
    {},
    {"id": "pi_1"},
    {"id": "pi\x00", "amount_received": 1, "currency": "usd"},
    {"id": "pi_1", "amount_received": "much", "currency": "usd"},
    {"id": "pi_1", "amount_received": 1, "currency": "usd", "metadata": {"order_id": "ord_\x00", "step": "charge"}},
]


@pytest.mark.parametrize("about", UNREADABLE, ids=str)
@pytest.mark.parametrize("kind", [SUCCEEDED, "charge.dispute.created"])
async def test_an_event_that_is_not_as_documented_holds_nothing_up(stripe: Stripe, kind: str, about: Json) -> None:
    await stripe.told(kind, about)


OF_OTHERS: list[Json] = [
    {"metadata": {}},
    {"metadata": {"order_id": "4711"}},
    {"metadata": {"order_id": "ord_00000000000000000000000000", "step": "charge"}},
]


@pytest.mark.parametrize("change", OF_OTHERS, ids=str)
async def test_a_payment_that_is_not_an_orders_is_left_alone(shop: Shop, stripe: Stripe, change: Json) -> None:
    order = await shop.place(amount=AMOUNT)
    await order.settled()
    intent = {**await stripe.intent_of(order), "id": new_id("pi"), **change}

    await stripe.told(SUCCEEDED, intent)

    assert await stripe.items(intent["id"]) == []


@pytest.mark.parametrize("kind", ["charge.dispute.created", "charge.disputed"])
async def test_a_dispute_opens_an_item_and_the_order_stays_what_it_is(shop: Shop, stripe: Stripe, kind: str) -> None:
    order = await shop.place(amount=AMOUNT)
    before = await order.settled_evidence()
    intent = await stripe.intent_of(order)
    about = dispute(intent["id"])

    await stripe.told(kind, about)
    await stripe.told(kind, about)
    await stripe.told("charge.dispute.updated", about)

    assert await stripe.items(about["id"]) == [
        ("dispute", order.id, f"19.99 usd of {intent['id']} disputed: fraudulent")
    ]
    assert await order.evidence() == before
    assert before.status is OrderStatus.COMPLETED


async def test_a_dispute_of_an_unknown_payment_opens_an_item_too(stripe: Stripe) -> None:
    about = dispute(None, reason=None)

    await stripe.told("charge.dispute.created", about)

    assert await stripe.items(about["id"]) == [("dispute", None, "19.99 usd of ch_1 disputed: no reason given")]


async def test_a_second_charge_of_a_paid_order_opens_an_item(shop: Shop, stripe: Stripe) -> None:
    order = await shop.place(amount=AMOUNT)
    before = await order.settled_evidence()
    intent = await stripe.intent_of(order)
    second = new_id("pi")

    await stripe.told(SUCCEEDED, {**intent, "id": second})

    detail = f"{second} took 19.99 usd, but the order is paid by {intent['id']}"
    assert await stripe.items(second) == [("unexpected_charge", order.id, detail)]
    assert await order.evidence() == before


async def test_another_amount_than_the_orders_is_not_booked(shop: Shop, stripe: Stripe) -> None:
    order = await charged_and_silent(shop, window_s=LONG_S)
    intent = await stripe.intent_of(order)

    await stripe.told(SUCCEEDED, {**intent, "id": (other := new_id("pi")), "amount_received": 1})

    detail = f"{other} took 0.01 usd, but 19.99 usd was to be charged"
    assert await stripe.items(other) == [("unexpected_charge", order.id, detail)]
    assert (await order.booked()).status is OrderStatus.PROCESSING
    await shop.ledger.behave()
    assert (await order.settled_evidence()).timeline == COMPLETED


async def test_a_charge_of_a_declined_order_opens_an_item(shop: Shop, stripe: Stripe) -> None:
    order = await shop.place(amount=AMOUNT, payment_method="pm_card_visa_chargeDeclined")
    before = await order.settled_evidence()
    intent = {**await stripe.intent_of(order), "amount_received": AMOUNT}

    await stripe.told(SUCCEEDED, intent)

    detail = f"{intent['id']} took 19.99 usd, but our books have the charge as refused"
    assert await stripe.items(intent["id"]) == [("unexpected_charge", order.id, detail)]
    assert (before.status, await order.evidence()) == (OrderStatus.REJECTED, before)


async def test_a_parked_order_whose_workflow_was_ended_by_hand_opens_an_item(shop: Shop, stripe: Stripe) -> None:
    order = await charged_and_silent(shop, window_s=SHORT_S)
    await order.parked()
    await order.handle.terminate("by hand")
    intent = await stripe.intent_of(order)

    await stripe.told(SUCCEEDED, intent)

    detail = f"{intent['id']} took 19.99 usd, but its workflow is over"
    assert await stripe.items(intent["id"]) == [("unexpected_charge", order.id, detail)]
    assert (await order.booked()).status is OrderStatus.NEEDS_ATTENTION
