"""Accepts orders: one durable write, the start of the order's workflow, and no other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from structlog.contextvars import bind_contextvars
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.auth import Principal
from api.bodies import PlaceOrderBody
from api.errors import IdempotencyKeyReused, MixedCurrencies, TemporarilyUnavailable, TotalTooLarge, UnknownSku
from api.order_memo import MEMO_MEMBER, OrderMemo
from api.order_reading import OrderReader
from api.order_resource import OrderResource
from api.outages import Unreachable, asking_postgres, asking_temporal
from contracts import queues
from contracts.catalogue import CatalogueProduct
from contracts.fulfilments import OrderLine, total_of
from contracts.ids import order_id_for, order_workflow_id
from contracts.money import MAX_AMOUNT, Money
from contracts.orders import Address, Order, OrderRules, OrderStatus, PlaceOrder
from database.orders import OrderRepository
from workflows.order_file import ORDER_STATUS, ORDER_TOTAL, TASK_TIMEOUT
from workflows.orders import OrderWorkflow

START_WITHIN_S = 5.0
CUSTOMER_ID = SearchAttributeKey.for_keyword("CustomerId")

log = structlog.get_logger()


@dataclass(frozen=True)
class PlacedOrder:
    """What a placement leads to: a new order, or one that this key had placed before."""

    order: OrderResource
    replayed: bool


class OrderPlacer:
    """Places orders. The same subject and key name the same order, however often and however many at once."""

    def __init__(
        self,
        repository: OrderRepository,
        temporal: Client,
        reader: OrderReader,
        rules: OrderRules,
    ) -> None:
        self._repository = repository
        self._temporal = temporal
        self._reader = reader
        self._rules = rules

    async def place(self, caller: Principal, key: str, body: PlaceOrderBody, request_id: str) -> PlacedOrder:
        """Accept an order, or find the one that this key had placed.

        Raises IdempotencyKeyReused, UnknownSku, MixedCurrencies, TotalTooLarge or Unreachable; after the last one the
        order may be accepted or not, and repeating the request settles it.
        """
        order_id = order_id_for(caller.subject, key)
        bind_contextvars(order_id=order_id, workflow_id=order_workflow_id(order_id))
        async with asking_postgres():
            found = await self._repository.look_up(order_id, {line.sku for line in body.lines})
        # Our books answer for keys that Temporal no longer remembers, and whatever has become of the catalogue.
        if found.request_hash is not None:
            return await self._replay(caller, order_id, body, found.request_hash)
        try:
            lines = _priced(body, found.products)
            total = _total(lines)
        except (UnknownSku, MixedCurrencies, TotalTooLarge):
            # Accepted, and not booked yet: then it is the prices of that moment that count.
            if memo := await self._reader.memo(order_id):
                return await self._replay(caller, order_id, body, memo.request_hash)
            raise
        placed = PlaceOrder(
            order_id=order_id,
            customer_id=caller.subject,
            lines=lines,
            total=total,
            payment_method=body.payment_method,
            ship_to=Address(**dict(body.ship_to)),
            accepted_at=datetime.now(UTC),
            request_hash=body.request_hash,
            request_id=request_id,
            rules=self._rules,
        )
        try:
            await self._start(placed)
        except WorkflowAlreadyStartedError:
            memo = await self._reader.memo(order_id)
            if memo is None:
                raise TemporarilyUnavailable from None
            return await self._replay(caller, order_id, body, memo.request_hash)
        return PlacedOrder(OrderResource.from_workflow(Order.accepted(placed)), replayed=False)

    async def _replay(self, caller: Principal, order_id: str, body: PlaceOrderBody, placed_hash: str) -> PlacedOrder:
        if placed_hash != body.request_hash:
            raise IdempotencyKeyReused("Repeat the very same body, or send a new key with a new order.")
        return PlacedOrder(await self._reader.get(caller, order_id), replayed=True)

    async def _start(self, placed: PlaceOrder) -> None:
        async with asking_temporal(START_WITHIN_S), _migrated_temporal():
            handle = await self._temporal.start_workflow(
                OrderWorkflow.run,
                placed,
                id=order_workflow_id(placed.order_id),
                task_queue=queues.ORDERS,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                task_timeout=TASK_TIMEOUT,
                rpc_timeout=timedelta(seconds=START_WITHIN_S),
                memo={MEMO_MEMBER: OrderMemo.of(placed)},
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(CUSTOMER_ID, placed.customer_id),
                        SearchAttributePair(ORDER_STATUS, OrderStatus.ACCEPTED.value),
                        SearchAttributePair(ORDER_TOTAL, placed.total.amount),
                    ]
                ),
                static_summary=f"{placed.customer_id}: {placed.total}",
            )
        bind_contextvars(run_id=handle.first_execution_run_id)


@asynccontextmanager
async def _migrated_temporal() -> AsyncIterator[None]:
    """Raises Unreachable for a Temporal that has no such namespace or search attributes (yet)."""
    try:
        yield
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise
        log.error("Temporal cannot start orders; was `followthrough migrate` run?", error=error.message)
        raise Unreachable("Temporal") from error


def _priced(body: PlaceOrderBody, products: Mapping[str, CatalogueProduct]) -> tuple[OrderLine, ...]:
    """The lines at today's prices, which are this order's from now on."""
    unknown = [line.sku for line in body.lines if line.sku not in products]
    if unknown:
        raise UnknownSku(f"Unknown: {', '.join(unknown)}.")
    return tuple(_line(products, line.sku, line.quantity) for line in body.lines)


def _line(products: Mapping[str, CatalogueProduct], sku: str, quantity: int) -> OrderLine:
    product = products[sku]
    return OrderLine(sku=sku, name=product.name, quantity=quantity, unit_price=product.price)


def _total(lines: tuple[OrderLine, ...]) -> Money:
    currencies = sorted({line.unit_price.currency for line in lines})
    if len(currencies) > 1:
        raise MixedCurrencies(f"These lines are priced in {', '.join(currencies)}; place an order for each.")
    total = total_of(lines)
    if total.amount > MAX_AMOUNT:
        raise TotalTooLarge(f"The total is {total.amount}; at most {MAX_AMOUNT} minor units can be charged at once.")
    return total
