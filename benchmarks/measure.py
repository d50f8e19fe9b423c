"""The measurements: a closed loop, a lone order, and the processor time behind them."""

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil

from benchmarks.contestants import Contestant

OUTSTANDING = 100
ORDER_WITHIN_S = 60.0
LOOK_EVERY_S = 0.02
LOOK_CLOSELY_EVERY_S = 0.001
# What follows an order's last step, such as the start of its shipment's workflow, is over by then.
AFTER_AN_ORDER_S = 0.3
QUIET_WITHIN_S = 30
QUIET_CPU_S_PER_S = 0.15


@dataclass(frozen=True)
class Loop:
    """A closed loop of orders: submit times in ms, processor time in ms an order, by process."""

    orders_per_s: float
    submit_p50_ms: float
    submit_p99_ms: float
    cpu_ms: Mapping[str, float]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


async def closed_loop(contestant: Contestant, orders: int, pids: Mapping[str, int]) -> Loop:
    """Keep 100 orders outstanding until this many were submitted, and all are completed."""
    submits: list[float] = []
    open_since: dict[str, float] = {}
    slots = asyncio.Semaphore(OUTSTANDING)
    all_submitted = asyncio.Event()

    async def submit() -> None:
        began = time.perf_counter()
        order_id = await contestant.submit()
        submits.append(time.perf_counter() - began)
        open_since[order_id] = began

    async def look() -> None:
        while not (all_submitted.is_set() and not open_since):
            for order_id in await contestant.completed(open_since):
                del open_since[order_id]
                slots.release()
            if open_since and time.perf_counter() - min(open_since.values()) > ORDER_WITHIN_S:
                raise TimeoutError(f"{contestant.name}: an order took more than {ORDER_WITHIN_S:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    before, began = cpu_times(pids), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        submitting = []
        for _ in range(orders):
            await slots.acquire()
            submitting.append(group.create_task(submit()))
        await asyncio.gather(*submitting)
        all_submitted.set()
    took, after = time.perf_counter() - began, cpu_times(pids)
    percentiles = statistics.quantiles(submits, n=100)
    return Loop(
        orders_per_s=orders / took,
        submit_p50_ms=percentiles[49] * 1_000,
        submit_p99_ms=percentiles[98] * 1_000,
        cpu_ms={name: (after[name] - before[name]) * 1_000 / orders for name in pids},
    )


async def lone_orders(contestant: Contestant, orders: int) -> float:
    """Milliseconds from submitting an order to its last step, with no other under way; the median."""
    times = []
    for _ in range(orders):
        began = time.perf_counter()
        order_id = await contestant.submit()
        while not await contestant.completed([order_id]):
            await asyncio.sleep(LOOK_CLOSELY_EVERY_S)
        times.append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(AFTER_AN_ORDER_S)
    return statistics.median(times)


async def quiet(pids: Mapping[str, int]) -> None:
    """Wait until these processes have next to nothing to do: Temporal still tidies up after the last contestant."""
    for _ in range(QUIET_WITHIN_S):
        before = cpu_times(pids)
        await asyncio.sleep(1)
        after = cpu_times(pids)
        if sum(after.values()) - sum(before.values()) < QUIET_CPU_S_PER_S:
            return
    raise TimeoutError(f"the stack was still busy {QUIET_WITHIN_S} s after the last order")


def cpu_times(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds of each process and the processes it started."""
    return {name: _cpu_time(psutil.Process(pid)) for name, pid in pids.items()}


def _cpu_time(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)
