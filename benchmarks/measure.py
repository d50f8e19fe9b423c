"""The measurements: closed loops and lone ones, of several contestants in turn, and the processor time behind them."""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from benchmarks.contestants import Contestant

OUTSTANDING = 100
WITHIN_S = 60.0
LOOK_EVERY_S = 0.02
LOOK_CLOSELY_EVERY_S = 0.001
# What follows the last step, such as the start of an order's shipment's workflow, is over by then.
AFTER_ONE_S = 0.3
QUIET_WITHIN_S = 30
QUIET_CPU_S_PER_S = 0.15


@dataclass(frozen=True)
class Loop:
    """A closed loop: submit times in ms, processor time in ms for each submitted, by process."""

    per_s: float
    submit_p50_ms: float
    submit_p99_ms: float
    cpu_ms: Mapping[str, float]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Rounds:
    """How many of each are done in how many rounds."""

    rounds: int
    warm_up: int
    looped: int
    lone: int


async def in_turn(
    contestants: Sequence[tuple[Contestant, Mapping[str, int]]], rounds: Rounds
) -> dict[str, dict[str, Any]]:
    """Rounds of all in turn, so that a change of the machine's speed meets all: the medians of each, by its name.

    Each contestant comes with the ids of the processes that work for it.
    """
    loops: dict[str, list[Loop]] = {contestant.name: [] for contestant, _ in contestants}
    lone: dict[str, list[float]] = {contestant.name: [] for contestant, _ in contestants}
    for contestant, pids in contestants:
        await closed_loop(contestant, rounds.warm_up, pids)
    for _ in range(rounds.rounds):
        for contestant, pids in contestants:
            await quiet(pids)
            loops[contestant.name].append(await closed_loop(contestant, rounds.looped, pids))
        for contestant, pids in contestants:
            await quiet(pids)
            lone[contestant.name].append(await lone_ones(contestant, rounds.lone))
    return {
        name: {
            "per_s": statistics.median(loop.per_s for loop in loops[name]),
            "submit_p50_ms": statistics.median(loop.submit_p50_ms for loop in loops[name]),
            "submit_p99_ms": statistics.median(loop.submit_p99_ms for loop in loops[name]),
            "lone_p50_ms": statistics.median(lone[name]),
            "cpu_ms": {
                process: statistics.median(loop.cpu_ms[process] for loop in loops[name])
                for process in loops[name][0].cpu_ms
            },
            "rounds": [loop.as_json() for loop in loops[name]],
        }
        for name in loops
    }


async def closed_loop(contestant: Contestant, count: int, pids: Mapping[str, int]) -> Loop:
    """Keep 100 outstanding until this many were submitted, and all are completed."""
    submits: list[float] = []
    open_since: dict[str, float] = {}
    slots = asyncio.Semaphore(OUTSTANDING)
    all_submitted = asyncio.Event()

    async def submit() -> None:
        began = time.perf_counter()
        submitted = await contestant.submit()
        submits.append(time.perf_counter() - began)
        open_since[submitted] = began

    async def look() -> None:
        while not (all_submitted.is_set() and not open_since):
            for submitted in await contestant.completed(open_since):
                del open_since[submitted]
                slots.release()
            if open_since and time.perf_counter() - min(open_since.values()) > WITHIN_S:
                raise TimeoutError(f"{contestant.name}: one took more than {WITHIN_S:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    before, began = cpu_times(pids), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        submitting = []
        for _ in range(count):
            await slots.acquire()
            submitting.append(group.create_task(submit()))
        await asyncio.gather(*submitting)
        all_submitted.set()
    took, after = time.perf_counter() - began, cpu_times(pids)
    percentiles = statistics.quantiles(submits, n=100)
    return Loop(
        per_s=count / took,
        submit_p50_ms=percentiles[49] * 1_000,
        submit_p99_ms=percentiles[98] * 1_000,
        cpu_ms={name: (after[name] - before[name]) * 1_000 / count for name in pids},
    )


async def lone_ones(contestant: Contestant, count: int) -> float:
    """Milliseconds from submitting one to its last step, with no other under way; the median."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        submitted = await contestant.submit()
        while not await contestant.completed([submitted]):
            await asyncio.sleep(LOOK_CLOSELY_EVERY_S)
        times.append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(AFTER_ONE_S)
    return statistics.median(times)


async def quiet(pids: Mapping[str, int]) -> None:
    """Wait until these processes have next to nothing to do: Temporal still tidies up after the last contestant."""
    for _ in range(QUIET_WITHIN_S):
        before = cpu_times(pids)
        await asyncio.sleep(1)
        after = cpu_times(pids)
        if sum(after.values()) - sum(before.values()) < QUIET_CPU_S_PER_S:
            return
    raise TimeoutError(f"the stack was still busy {QUIET_WITHIN_S} s after the last round")


def cpu_times(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds of each process and the processes it started."""
    return {name: _cpu_time(psutil.Process(pid)) for name, pid in pids.items()}


def _cpu_time(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)
