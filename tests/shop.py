"""Orders placed as the API places them, and every independent witness of what became of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from contracts import queues
from contracts.catalogue import CatalogueProduct
from contracts.customers import CustomerAction
from contracts.fulfilments import OrderLine
from contracts.ids import fulfilment_id, order_id_for, order_workflow_id
from contracts.money import Money
from contracts.operators import Decision, ResolveOrder, RetryOrder
from contracts.orders import FINAL_STATUSES, Address, Order, OrderOutcome, OrderRules, OrderStatus, PlaceOrder
from database.catalogue import Catalogue
from database.engine import create_engine
from database.orders import OrderRepository
from database.tables import orders, reservations, stock
from tests.histories import history_of
from tests.providers_ledger import Effects, ProvidersLedger
from tests.stack_session import RunningStack
from workflows.orders import OrderWorkflow

WITHIN_S = 30.0
POLL_S = 0.03
SHIPMENT_POLL_AFTER_S = 6 * 60 * 60
RPC_TIMEOUT = timedelta(seconds=WITHIN_S)
ON_HAND = 10
ADA = Address(name="Ada", line1="12 Long St", city="Oslo", postal_code="0150", country="NO")

Handle = WorkflowHandle[OrderWorkflow, OrderOutcome]


@dataclass(frozen=True)
class Stock:
    """Units of one SKU in the warehouses, and those of them that orders hold."""

    on_hand: int
    reserved: int


@dataclass(frozen=True)
class Evidence:
    """What every witness says of one order: our books, its workflow, the providers' ledger, the stock."""

    booked: Order
    view: Order
    effects: Effects
    fired: tuple[tuple[str, str], ...]
    stock: Stock
    reservations: frozenset[str]

    @property
    def status(self) -> OrderStatus:
        return self.booked.status

    @property
    def agreed(self) -> Order:
        """What our books say, without the shipments, of which the order's workflow knows nothing."""
        return self.booked.model_copy(update={"shipments": ()})

    @property
    def failure_code(self) -> str | None:
        return self.booked.failure.code if self.booked.failure else None

    @property
    def timeline(self) -> list[str]:
        return [entry.type.value for entry in self.booked.timeline]


class Shop:
    """Sells goods of its own to each order, through the stack that runs."""

    def __init__(self, client: Client, engine: AsyncEngine, ledger: ProvidersLedger) -> None:
        self.client = client
        self.engine = engine
        self.ledger = ledger
        self.books = OrderRepository(engine)
        self.catalogue = Catalogue(engine)
        self._session = uuid4().hex[:8]
        self._numbers = itertools.count(1)

    async def goods(self, *, on_hand: int | Mapping[str, int] = ON_HAND, amount: int = 1_999) -> CatalogueProduct:
        """Put something new on sale, in the default warehouse or in these."""
        sku = f"TEE-{self._session}-{next(self._numbers)}"
        product = CatalogueProduct(sku=sku, name="T-shirt", price=Money(amount=amount))
        await self.catalogue.put(product, on_hand)
        return product

    def order_of(
        self,
        product: CatalogueProduct,
        *,
        quantity: int = 1,
        payment_method: str = "pm_card_visa",
        approval_threshold: int = 50_000,
        approval_deadline_s: int = 24 * 60 * 60,
        customer_deadline_s: int = 72 * 60 * 60,
        retry_window_s: int = 3,
        customer_id: str = "customer-1",
        shipment_poll_after_s: int | None = SHIPMENT_POLL_AFTER_S,
    ) -> "ShopOrder":
        """An order for these goods that is not placed yet."""
        key = f"key {self._session} {next(self._numbers)}"
        placed = PlaceOrder(
            order_id=order_id_for(customer_id, key),
            customer_id=customer_id,
            lines=(OrderLine(sku=product.sku, name=product.name, quantity=quantity, unit_price=product.price),),
            total=Money(amount=product.price.amount * quantity),
            payment_method=payment_method,
            ship_to=ADA,
            accepted_at=datetime.now(UTC),
            request_hash="0" * 64,
            request_id=f"req_{key}",
            rules=OrderRules(
                approval_threshold=approval_threshold,
                approval_deadline_s=approval_deadline_s,
                customer_deadline_s=customer_deadline_s,
                retry_window_s=retry_window_s,
                shipment_poll_after_s=shipment_poll_after_s,
            ),
        )
        return ShopOrder(self, placed)

    async def order(
        self, *, amount: int = 1_999, on_hand: int | Mapping[str, int] = ON_HAND, **terms: Any
    ) -> "ShopOrder":
        """An order for goods of its own, not placed yet: there is time to prepare faults."""
        return self.order_of(await self.goods(amount=amount, on_hand=on_hand), **terms)

    async def place(self, **terms: Any) -> "ShopOrder":
        """Place an order for goods of its own."""
        order = await self.order(**terms)
        await order.start()
        return order

    async def stock(self, sku: str) -> Stock:
        """What all warehouses have."""
        query = select(func.sum(stock.c.on_hand).label("on_hand"), func.sum(stock.c.reserved).label("reserved"))
        async with self.engine.connect() as connection:
            row = (await connection.execute(query.where(stock.c.sku == sku))).one()
        return Stock(on_hand=int(row.on_hand), reserved=int(row.reserved))

    async def until_status(self, order_id: str, statuses: Collection[OrderStatus]) -> OrderStatus:
        """Wait until our books show one of these."""
        query = select(orders.c.status).where(orders.c.id == order_id)
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with self.engine.connect() as connection:
                    status = await connection.scalar(query)
                if status in statuses:
                    return OrderStatus(str(status))
                await asyncio.sleep(POLL_S)

    async def until_a_booking_waits(self) -> None:
        """Wait until our books wait for the lock of an order."""
        waiting = "wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE OF locked%'"
        async with asyncio.timeout(WITHIN_S), self.engine.connect() as connection:
            while not (
                await connection.exec_driver_sql(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")
            ).scalar_one():
                await connection.rollback()
                await asyncio.sleep(0.01)


class ShopOrder:
    """One order, from before it is placed until all is known of it. Every wait has an end."""

    def __init__(self, shop: Shop, placed: PlaceOrder) -> None:
        self.shop = shop
        self.placed = placed
        self.id = placed.order_id
        self.sku = placed.lines[0].sku
        self.quantity = placed.lines[0].quantity
        self.handle: Handle = shop.client.get_workflow_handle_for(OrderWorkflow.run, order_workflow_id(self.id))

    async def meets(
        self,
        operation: str,
        behaviour: str,
        *,
        fulfilment: int | None = None,
        times: int | None = 1,
        delay_s: float | None = None,
    ) -> None:
        """Have this order's requests, or those of one of its fulfilments, meet a fault."""
        match = self.id if fulfilment is None else fulfilment_id(self.id, fulfilment)
        await self.shop.ledger.misbehave(match, operation, behaviour, times=times, delay_s=delay_s)

    async def start(self, client: Client | None = None, *, start_delay: timedelta | None = None) -> None:
        """Place the order, as the API does."""
        await (client or self.shop.client).start_workflow(
            OrderWorkflow.run,
            self.placed,
            id=order_workflow_id(self.id),
            task_queue=queues.ORDERS,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=timedelta(seconds=2),
            start_delay=start_delay,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(SearchAttributeKey.for_keyword("CustomerId"), self.placed.customer_id),
                    SearchAttributePair(SearchAttributeKey.for_keyword("OrderStatus"), OrderStatus.ACCEPTED.value),
                    SearchAttributePair(SearchAttributeKey.for_int("OrderTotal"), self.placed.total.amount),
                ]
            ),
            static_summary=f"{self.placed.customer_id}: {self.placed.total}",
            rpc_timeout=RPC_TIMEOUT,
        )

    async def outcome(self) -> OrderOutcome:
        """What the workflow returns."""
        async with asyncio.timeout(WITHIN_S):
            return await self.handle.result()

    async def settled(self) -> Order:
        """The order in our books once its workflow is over."""
        await self.outcome()
        return await self.booked()

    async def settled_evidence(self) -> Evidence:
        """What every witness says once the workflow is over."""
        await self.outcome()
        return await self.evidence()

    async def booked(self) -> Order:
        found = await self.shop.books.find(self.id)
        assert found is not None, f"our books don't have {self.id}"
        return found.order

    async def view(self) -> Order:
        return await self.handle.query(OrderWorkflow.view, rpc_timeout=RPC_TIMEOUT)

    async def until(self, *statuses: OrderStatus) -> OrderStatus:
        """Wait until our books show one of these."""
        return await self.shop.until_status(self.id, statuses)

    async def parked(self) -> str:
        """Wait until the workflow itself waits for an operator, and return what it says is left."""
        async with asyncio.timeout(WITHIN_S):
            while (view := await self.view()).status is not OrderStatus.NEEDS_ATTENTION:
                assert not view.status.is_final, f"{self.id} is {view.status}, and never parked"
                await asyncio.sleep(POLL_S)
        return view.timeline[-1].detail

    async def parked_or_final(self) -> OrderStatus:
        return await self.until(OrderStatus.NEEDS_ATTENTION, *FINAL_STATUSES)

    async def decide(self, *, approved: bool, operator: str = "olga", note: str = "") -> None:
        decision = Decision(operator=operator, note=note, approved=approved)
        await self.handle.signal(OrderWorkflow.decide, decision, rpc_timeout=RPC_TIMEOUT)

    async def act(self, action: CustomerAction) -> Order:
        return await self.update(OrderWorkflow.act_for_customer, action)

    async def send_to(self, address: Address) -> Order:
        return await self.update(OrderWorkflow.change_address, address)

    async def cancel(self) -> Order:
        return await self.update(OrderWorkflow.cancel)

    async def retry(self, operator: str = "olga") -> Order:
        return await self.update(OrderWorkflow.retry, RetryOrder(operator=operator))

    async def resolve(self, status: OrderStatus, *, operator: str = "olga", note: str = "") -> Order:
        return await self.update(OrderWorkflow.resolve, ResolveOrder(operator=operator, note=note, status=status))

    async def update(self, handler: Any, *request: Any) -> Order:
        """Send an update under one id until it is answered: one in a workflow task that fails is dropped unanswered."""
        update_id = uuid4().hex
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    order: Order = await self.handle.execute_update(
                        handler, *request, id=update_id, rpc_timeout=RPC_TIMEOUT
                    )
                except RPCError as error:
                    if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                        raise
                else:
                    return order

    async def history(self) -> WorkflowHistory:
        return await history_of(self.shop.client, self.handle)

    async def evidence(self) -> Evidence:
        """Ask every witness."""
        async with asyncio.timeout(WITHIN_S):
            async with self.shop.engine.connect() as connection:
                query = select(reservations.c.state).where(reservations.c.order_id == self.id)
                states = frozenset((await connection.scalars(query)).all())
            return Evidence(
                booked=await self.booked(),
                view=await self.view(),
                effects=await self.shop.ledger.effects(self.id),
                fired=tuple(await self.shop.ledger.fired(self.id)),
                stock=await self.shop.stock(self.sku),
                reservations=states,
            )


@asynccontextmanager
async def open_shop(stack: RunningStack) -> AsyncIterator[Shop]:
    """A shop on this stack, with connections of its own."""
    client = await Client.connect(
        stack.temporal_address, namespace=stack.temporal_namespace, data_converter=stack.data_converter
    )
    engine = create_engine(stack.database_url, connections=20, application_name="followthrough tests")
    try:
        async with httpx.AsyncClient(base_url=stack.sandbox_url, timeout=10) as http:
            yield Shop(client, engine, ProvidersLedger(http))
    finally:
        await engine.dispose()
