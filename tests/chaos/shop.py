"""Places orders and watches their workflows."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle

from contracts import queues
from contracts.catalogue import CatalogueProduct
from contracts.fulfilments import OrderLine
from contracts.ids import order_id_for, order_workflow_id
from contracts.money import Money
from contracts.orders import Address, OrderOutcome, OrderRules, PlaceOrder
from database.catalogue import Catalogue
from tests.chaos.books import Auditor, World
from tests.chaos.points import Standing, Work
from workflows.orders import OrderWorkflow

TASK_TIMEOUT = timedelta(seconds=2)
ALL_ENDED_WITHIN_S = 30.0
REACHED_WITHIN_S = 30.0
POLL_S = 0.05
UNITS = 1_000
PRICE = Money(amount=1_999)
OSLO = Address(name="Ada", line1="12 Long St", city="Oslo", postal_code="0150", country="NO")

Handle = WorkflowHandle[OrderWorkflow, OrderOutcome]


class Orders:
    """Some orders of one SKU that nobody else buys, two units each."""

    def __init__(self, shop: "Shop", sku: str, ids: Sequence[str]) -> None:
        self._shop = shop
        self.sku = sku
        self.ids = list(ids)
        self.handles: list[Handle] = [
            shop.client.get_workflow_handle_for(OrderWorkflow.run, order_workflow_id(order_id)) for order_id in self.ids
        ]

    async def world(self) -> World:
        return await self._shop.auditor.world(self.ids)

    async def reach(self, status: str) -> None:
        """Wait until our books show this status for all."""
        async with asyncio.timeout(REACHED_WITHIN_S):
            while await self._shop.auditor.statuses(self.ids) != [status] * len(self.ids):
                await asyncio.sleep(POLL_S)

    async def begin_to_ship(self, count: int) -> None:
        """Wait until our books have announced the shipment of so many."""
        async with asyncio.timeout(REACHED_WITHIN_S):
            while (await self.world()).announced(Work.SHIP) < count:
                await asyncio.sleep(POLL_S)

    async def outcomes(self) -> list[str]:
        """How each workflow ended, once all have."""
        try:
            async with asyncio.timeout(ALL_ENDED_WITHIN_S):
                outcomes = await asyncio.gather(*(handle.result() for handle in self.handles))
        except TimeoutError:
            statuses = Counter(await self._shop.auditor.statuses(self.ids))
            stuck = [await self._last_events(handle) for handle in self.handles]
            pytest.fail(
                f"not all ended within {ALL_ENDED_WITHIN_S:.0f} s: {dict(statuses)}; those that run: "
                + "; ".join(one for one in stuck if one)
            )
        return [outcome.status.value for outcome in outcomes]

    async def _last_events(self, handle: Handle) -> str:
        """The end of a history that goes on; nothing of one that has ended."""
        if (await handle.describe()).close_time is not None:
            return ""
        events = (await handle.fetch_history()).events[-6:]
        return f"{handle.id} {[(EventType.Name(event.event_type)[11:], str(event.event_time)) for event in events]}"

    async def standing(self, work: Work) -> Standing:
        """How far providers, books and workflows are with this work."""
        world = await self.world()
        return Standing(
            announced=world.announced(work) if work.is_call else 0,
            effects=world.effects(work) if work.is_call else 0,
            recorded=world.recorded(work),
            running=await self.running(),
        )

    async def running(self) -> int:
        """How many workflows have not ended."""
        found = await asyncio.gather(*(handle.describe() for handle in self.handles))
        return sum(description.close_time is None for description in found)

    async def ends(self) -> list[float]:
        """When each workflow that has ended did so, by the server's clock, in seconds since the epoch."""
        found = await asyncio.gather(*(handle.describe() for handle in self.handles))
        return [description.close_time.timestamp() for description in found if description.close_time]

    async def repeated_tasks(self) -> int:
        """Workflow tasks and activities that were lost with their worker and given to another."""
        histories = await asyncio.gather(*(handle.fetch_history() for handle in self.handles))
        return sum(_tells_of_a_lost_task(event) for history in histories for event in history.events)

    async def wrong(self) -> list[str]:
        """What is wrong now that all have ended: per order, between workflows and books, and with the stock."""
        outcomes = await self.outcomes()
        world = await self.world()
        problems = world.wrong()
        problems += [
            f"{order_id}: the workflow says {outcome}, our books {world.orders[order_id]['status']}"
            for order_id, outcome in zip(self.ids, outcomes, strict=True)
            if world.orders[order_id]["status"] != outcome
        ]
        left = UNITS - 2 * outcomes.count("completed")
        if (stock := await self._shop.auditor.stock(self.sku)) != (left, 0):
            problems.append(f"{self.sku}: on hand and reserved are {stock}, not {(left, 0)}")
        return problems


def _tells_of_a_lost_task(event: HistoryEvent) -> bool:
    """Whether a workflow task was begun and never answered, or an activity's attempt follows one that fell silent."""
    lost = event.workflow_task_timed_out_event_attributes.timeout_type == TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    return lost or event.activity_task_started_event_attributes.last_failure.HasField("timeout_failure_info")


class Shop:
    """The stack under test, as its customers and operators reach it."""

    def __init__(self, client: Client, catalogue: Catalogue, auditor: Auditor, sandbox_url: str) -> None:
        self.client = client
        self.auditor = auditor
        self._catalogue = catalogue
        self._sandbox_url = sandbox_url
        self._numbers = itertools.count(1)

    async def goods(self) -> CatalogueProduct:
        """Put something new on sale."""
        product = CatalogueProduct(sku=f"CHAOS-{next(self._numbers)}", name="T-shirt", price=PRICE)
        await self._catalogue.put(product, UNITS)
        return product

    def orders(self, sku: str, ids: Sequence[str]) -> Orders:
        """Orders that were placed already: all there are for this SKU, two units each."""
        return Orders(self, sku, ids)

    async def place(self, count: int, **rules: int) -> Orders:
        """Have this many orders accepted, all for one new SKU."""
        product = await self.goods()
        rules = {"approval_threshold": 50_000, "approval_deadline_s": 86_400, "retry_window_s": 600} | rules
        placed = [self._order(product, number, OrderRules(**rules)) for number in range(count)]
        await asyncio.gather(*(self._start(order) for order in placed))
        return self.orders(product.sku, [order.order_id for order in placed])

    async def _start(self, order: PlaceOrder) -> None:
        await self.client.start_workflow(
            OrderWorkflow.run,
            order,
            id=order_workflow_id(order.order_id),
            task_queue=queues.ORDERS,
            task_timeout=TASK_TIMEOUT,
        )

    @staticmethod
    def _order(product: CatalogueProduct, number: int, rules: OrderRules) -> PlaceOrder:
        line = OrderLine(sku=product.sku, name=product.name, quantity=2, unit_price=product.price)
        return PlaceOrder(
            order_id=order_id_for("chaos", f"{product.sku}/{number}"),
            customer_id="chaos",
            lines=(line,),
            total=Money(amount=2 * PRICE.amount),
            payment_method="pm_card_visa",
            ship_to=OSLO,
            accepted_at=datetime.now(UTC),
            request_hash=f"{number:064}",
            request_id=f"chaos-{number}",
            rules=rules,
        )

    async def providers_fail(self, provider: str, operation: str, behaviour: str, **more: float) -> None:
        """Have every such call fail until `providers_recover`."""
        fault = {"provider": provider, "operation": operation, "behaviour": behaviour, "times": None, **more}
        async with httpx.AsyncClient(base_url=self._sandbox_url) as sandbox:
            (await sandbox.post("/faults", json=fault)).raise_for_status()

    async def providers_recover(self) -> None:
        async with httpx.AsyncClient(base_url=self._sandbox_url) as sandbox:
            (await sandbox.delete("/faults")).raise_for_status()
