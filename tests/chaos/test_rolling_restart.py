"""Every API and every worker is replaced, one after the other, under load: no request fails, and nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.home import Home
from stack.ports import PortReservations
from stack.tokens import sign_token
from tests.chaos.balancer import Balancer
from tests.chaos.client import ADA
from tests.chaos.figures import Figures
from tests.chaos.shop import Shop
from tests.chaos.workers import WorkerProcess, Workers

TOKEN_TTL_S = 600
EVERY_S = 0.2
DRAIN_S = 1.0
# Of a worker told to stop: jobs that sleep this long end in time, or not.
SHORT_S, LONG_S = 0.3, 6.0
JOBS_OF_EACH = 5
LET_GO_WITHIN_S = 8.0
ENDED_WITHIN_S = 60.0


class Load:
    """Customers who place orders and look at them, and jobs, until it is told to end."""

    def __init__(self, balancer: Balancer, sku: str) -> None:
        self.balancer = balancer
        self.ids: list[str] = []
        self.jobs: list[str] = []
        self._body = {"lines": [{"sku": sku, "quantity": 2}], "payment_method": "pm_card_visa", "ship_to": ADA}
        self._number = 0
        self._ends = asyncio.Event()

    def end(self) -> None:
        self._ends.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as customers:
            while not self._ends.is_set():
                customers.create_task(self._order())
                await asyncio.sleep(EVERY_S)

    async def add_jobs(self) -> None:
        for sleep_s in [SHORT_S] * JOBS_OF_EACH + [LONG_S] * JOBS_OF_EACH:
            body = {"type": "diagnostics.echo", "arguments": {"message": "hello", "sleep_s": sleep_s}}
            if (answer := await self._post("/v1/jobs", body)) is not None:
                self.jobs.append(answer["id"])

    async def jobs_begin(self) -> None:
        """Wait until none of them waits for a worker."""
        async with asyncio.timeout(ENDED_WITHIN_S):
            while any(job["status"] in ("scheduled", "queued") for job in await self._jobs()):
                await asyncio.sleep(0.1)

    async def finished_jobs(self) -> list[dict[str, Any]]:
        """All of them, once they are over."""
        async with asyncio.timeout(ENDED_WITHIN_S):
            while True:
                found = await self._jobs()
                if all(job["status"] not in ("scheduled", "queued", "running", "retrying") for job in found):
                    return found
                await asyncio.sleep(0.3)

    async def _jobs(self) -> list[dict[str, Any]]:
        answers = [await self.balancer.send("GET", f"/v1/jobs/{job_id}") for job_id in self.jobs]
        return [answer.json() for answer in answers if answer is not None]

    async def _order(self) -> None:
        placed = await self._post("/v1/orders", self._body)
        if placed is not None:
            self.ids.append(placed["id"])
            await self.balancer.send("GET", f"/v1/orders/{placed['id']}")

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        self._number += 1
        answer = await self.balancer.send("POST", path, json=body, headers={"Idempotency-Key": f"roll-{self._number}"})
        if answer is None:
            return None
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted


class Apis:
    """The APIs behind the balancer."""

    def __init__(self, workers: Workers, balancer: Balancer) -> None:
        self._workers = workers
        self._balancer = balancer
        self._ports = PortReservations()

    def release_ports(self) -> None:
        self._ports.release()

    async def start(self) -> tuple[str, WorkerProcess]:
        """One more, which is sent requests once this returns."""
        port = self._ports.take_free()
        api = await self._workers.start_api(
            port, self._ports.take_free(), FOLLOWTHROUGH_API_DRAIN_S=str(DRAIN_S), FOLLOWTHROUGH_RATE_LIMIT_BURST="9999"
        )
        url = f"http://127.0.0.1:{port}"
        self._balancer.add(url)
        await self._balancer.ready(url)
        return url, api

    async def replace(self, url: str, api: WorkerProcess) -> None:
        await self.start()
        stopping = asyncio.create_task(api.stop())
        await asyncio.sleep(DRAIN_S / 3)
        async with httpx.AsyncClient(base_url=url) as http:
            readiness = await http.get("/readyz")
            answer = await http.get("/livez")
        assert (readiness.status_code, readiness.json()["checks"]) == (503, {"api": "is stopping"})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await stopping >= DRAIN_S


@pytest.fixture
def headers(home: Path) -> dict[str, str]:
    token = sign_token(Home(home), "chaos-roller", ["orders:write", "jobs:write"], TOKEN_TTL_S)
    return {"Authorization": f"Bearer {token}"}


async def test_a_rolling_restart_fails_no_request_and_loses_nothing(
    shop: Shop, workers: Workers, figures: Figures, headers: dict[str, str]
) -> None:
    product = await shop.goods()
    balancer = Balancer(headers)
    apis, load = Apis(workers, balancer), Load(balancer, product.sku)
    async with balancer.probing():
        old_workers = []
        for _ in range(2):
            old_workers.append(await workers.start(FOLLOWTHROUGH_WORKER_DRAIN_S=str(DRAIN_S)))
            # Each takes a free port for its metrics, and until it listens the next one would take the same.
            await old_workers[-1].ready_at()
        old_apis = [await apis.start() for _ in range(2)]
        running = asyncio.create_task(load.run())
        let_go_after_s = []
        for worker, api in zip(old_workers, old_apis, strict=True):
            newer = await workers.start()
            await newer.ready_at()
            await load.add_jobs()
            await load.jobs_begin()
            let_go_after_s.append(await worker.stop())
            await apis.replace(*api)
        apis.release_ports()
        load.end()
        await running
        orders = shop.orders(product.sku, load.ids)
        figure = figures.begin(f"all, one by one ({balancer.sent} requests)", len(load.ids))

        outcomes = await orders.outcomes()
        jobs = await load.finished_jobs()

    assert balancer.failed == []
    assert set(outcomes) == {"completed"}
    assert await orders.wrong() == []
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert len(jobs) == 4 * JOBS_OF_EACH
    # Those that were too long for the worker they were on were handed to another one, which began them anew.
    again = [job for job in jobs if job["attempt"] > 1]
    assert again
    assert max(let_go_after_s) < LET_GO_WITHIN_S
    await figure.take(orders, newer)
    gone = f"each worker gone within {max(let_go_after_s):.1f} s"
    figure.verdict = f"none failed; {len(again)} of {len(jobs)} jobs begun anew; {gone}"
