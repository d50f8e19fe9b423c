"""`followthrough demo`: eight orders, a sign-up, a job and a report through the real stack; the books are checked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client

from contracts.ids import order_id_for, order_workflow_id
from payloads import data_converter
from settings import PayloadSettings, TemporalSettings
from stack import launch
from stack.demo_balance import balance, stock_of
from stack.demo_jobs import ask_for_job, report, see_job_end
from stack.demo_view import DemoView, open_view, print_places
from stack.demo_welcome import welcome
from stack.home import Home, State
from stack.run import joined
from stack.tokens import sign_token

CUSTOMER = "demo-customer"
OPERATOR = "demo-operator"
WITHIN_S = 60.0
POLL_S = 0.05
SHIP_TO = {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"}
# Goods of the demo's own, as it finds them each time.
LAMP, POSTER = "DEMO-LAMP", "DEMO-POSTER"
GOODS = {
    LAMP: {"name": "Lamp, of the demo", "price": {"amount": 4_500}, "on_hand": {"wh_lyon": 1, "wh_oslo": 2}},
    POSTER: {"name": "Poster, of the demo", "price": {"amount": 900}, "on_hand": 0},
}


@dataclass(frozen=True)
class Scenario:
    """One order, what goes wrong with it, what people do about it, and how it must end."""

    title: str
    ends: str
    lines: Mapping[str, int] = field(default_factory=lambda: {"TEE-BLACK-M": 2})
    payment_method: str = "pm_card_visa"
    fault: dict[str, Any] | None = None
    when_waiting: str | None = None


SCENARIOS = (
    Scenario("plain", ends="completed"),
    Scenario("over the threshold, approved", ends="completed", lines={"BIKE-CITY": 1}, when_waiting="approve"),
    Scenario(
        "carrier fails twice",
        ends="completed",
        fault={"provider": "carrier", "operation": "ship", "behaviour": "unavailable", "times": 2},
    ),
    Scenario("card declined", ends="rejected", payment_method="pm_card_visa_chargeDeclined"),
    Scenario(
        "carrier refuses for good",
        ends="rejected",
        fault={"provider": "carrier", "operation": "ship", "behaviour": "decline", "times": 1},
    ),
    Scenario("cancelled while it waits", ends="cancelled", lines={"BIKE-CITY": 1}, when_waiting="cancel"),
    Scenario("from two warehouses", ends="completed", lines={LAMP: 3}),
    Scenario("an item is missing, amended", ends="completed", lines={"MUG-WHITE": 1, POSTER: 1}, when_waiting="amend"),
)


@dataclass
class DemoOrder:
    """A scenario under way: what the API and Temporal said of it last."""

    scenario: Scenario
    key: str = field(default_factory=lambda: uuid4().hex)
    resource: dict[str, Any] = field(default_factory=dict)
    attempts: str = ""
    acted: bool = False

    @property
    def id(self) -> str:
        """Known before the order is placed, so that a fault can be laid out for just this one."""
        return order_id_for(CUSTOMER, self.key)

    @property
    def status(self) -> str:
        return str(self.resource.get("status", "not placed"))

    @property
    def events(self) -> list[str]:
        return [entry["type"] for entry in self.resource.get("timeline", ())]


def run(home: Home) -> int:
    """Run the demo; returns the exit code, and says what was off when it is not 0."""
    found_running = home.owner() is not None
    launch.start_detached(home, ())
    try:
        with joined(home):
            problems = asyncio.run(_Demo(home, home.state()).play())
    finally:
        if not found_running:
            launch.take_down(home)
    for problem in problems:
        print(f"off: {problem}")  # noqa: T201
    return 1 if problems else 0


class _Demo:
    def __init__(self, home: Home, state: State) -> None:
        self.home = home
        self.state = state
        self.orders = [DemoOrder(scenario) for scenario in SCENARIOS]

    async def play(self) -> list[str]:
        """Place the orders, follow them to their ends, and compare the books. Returns what was off."""
        async with (
            self._api(CUSTOMER, "orders:write", "jobs:write", "reports:write") as customer,
            self._api(OPERATOR, "operator") as operator,
            httpx.AsyncClient(base_url=str(self.state.sandbox_url)) as sandbox,
        ):
            for sku, goods in GOODS.items():
                (await operator.put(f"/v1/admin/catalogue/{sku}", json=goods)).raise_for_status()
            before = await stock_of(str(self.state.database_url), self._skus)
            settings = TemporalSettings()
            temporal = await Client.connect(
                settings.address, **settings.access, data_converter=data_converter(PayloadSettings().keys)
            )
            job = await ask_for_job(customer)
            with open_view(self.orders, self._web_ui_link) as view:
                problems = await self._follow(customer, operator, sandbox, temporal, view)
            if self.state.smtp_address is not None:
                problems += await welcome(str(self.state.api_url), sandbox)
            problems += await see_job_end(customer, job)
            problems += await report(customer, self.orders)
            ledger = (await sandbox.get("/ledger")).raise_for_status().json()
        after = await stock_of(str(self.state.database_url), self._skus)
        problems += balance(self.orders, ledger, before, after)
        print_places(
            {
                "Web UI": str(self.state.temporal_ui_url),
                "API docs": f"{self.state.api_url}/docs",
                "shop": f"{self.state.api_url}/shop",
                "inbox": f"{self.state.sandbox_url}/inbox",
            }
        )
        return problems

    async def _follow(
        self,
        customer: httpx.AsyncClient,
        operator: httpx.AsyncClient,
        sandbox: httpx.AsyncClient,
        temporal: Client,
        view: DemoView,
    ) -> list[str]:
        deadline = time.monotonic() + WITHIN_S
        act: dict[str, Callable[[DemoOrder], Awaitable[httpx.Response]]] = {
            "approve": lambda order: operator.post(f"/v1/admin/orders/{order.id}/approve", json={"note": "demo"}),
            "cancel": lambda order: customer.post(f"/v1/orders/{order.id}/cancel"),
            "amend": lambda order: customer.post(f"/v1/orders/{order.id}/customer-action", json={"action": "amend"}),
        }

        async def follow(order: DemoOrder) -> None:
            await self._place(order, customer, sandbox)
            while not self._has_ended(order) and time.monotonic() < deadline:
                order.resource = (await customer.get(f"/v1/orders/{order.id}")).raise_for_status().json()
                order.attempts = await self._attempts(order, temporal)
                action = order.scenario.when_waiting
                if action and order.status in ("awaiting_approval", "awaiting_customer") and not order.acted:
                    view.show()
                    (await act[action](order)).raise_for_status()
                    order.acted = True
                view.show()
                await asyncio.sleep(POLL_S)

        await asyncio.gather(*map(follow, self.orders))
        return [
            f"order {order.id} ({order.scenario.title}) is {order.status}, not {order.scenario.ends}"
            for order in self.orders
            if order.status != order.scenario.ends
        ]

    async def _place(self, order: DemoOrder, customer: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> None:
        scenario = order.scenario
        if scenario.fault is not None:
            (await sandbox.post("/faults", json={**scenario.fault, "match": order.id})).raise_for_status()
        body = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in scenario.lines.items()],
            "payment_method": scenario.payment_method,
            "ship_to": SHIP_TO,
        }
        answer = await customer.post("/v1/orders", json=body, headers={"Idempotency-Key": order.key})
        order.resource = answer.raise_for_status().json()

    async def _attempts(self, order: DemoOrder, temporal: Client) -> str:
        """What Temporal is trying again for this order, in words; empty when nothing is."""
        if order.status != "processing":
            return ""
        description = await temporal.get_workflow_handle(order_workflow_id(order.id)).describe()
        return "; ".join(
            [
                f"{activity.activity_type.name}, attempt {activity.attempt}"
                + (f" after {await _message(temporal, activity.last_failure)!r}" if activity.attempt > 1 else "")
                for activity in description.raw_description.pending_activities
            ]
        )

    def _has_ended(self, order: DemoOrder) -> bool:
        return order.status in ("completed", "partially_completed", "cancelled", "rejected")

    def _web_ui_link(self, order: DemoOrder) -> str:
        workflow = quote(order_workflow_id(order.id), safe="")
        return f"{self.state.temporal_ui_url}/namespaces/{self.state.temporal_namespace}/workflows/{workflow}"

    def _api(self, subject: str, *scopes: str) -> httpx.AsyncClient:
        token = sign_token(self.home, subject, scopes, 600)
        return httpx.AsyncClient(
            base_url=str(self.state.api_url), headers={"Authorization": f"Bearer {token}"}, timeout=10
        )

    @property
    def _skus(self) -> Iterable[str]:
        return sorted({sku for scenario in SCENARIOS for sku in scenario.lines})


async def _message(temporal: Client, failure: Failure) -> str:
    """What went wrong, which is encrypted where payloads are."""
    return str(await temporal.data_converter.decode_failure(failure))
