"""The run's figures, printed at its end."""

from dataclasses import dataclass

import pytest

from tests.chaos.shop import Orders
from tests.chaos.workers import WorkerProcess

COLUMNS = (
    "killed",
    "orders",
    "repeated requests",
    "repeated tasks",
    "ended after process start, s",
    "after 'worker started', s",
    "verdict",
)
PENDING = "FAILED"


@dataclass(frozen=True)
class Measured:
    """From a new worker's start to the last order's end, and what was done again."""

    repeated_requests: int
    repeated_tasks: int
    after_process_start_s: float
    after_ready_s: float


@dataclass
class Figure:
    """One row. The verdict stays FAILED until the test's last line says otherwise."""

    killed: str
    orders: int
    measured: Measured | None = None
    verdict: str = PENDING

    async def take(self, orders: Orders, worker: WorkerProcess) -> Measured:
        """Measure, now that all have ended under this new worker."""
        ended_at = max(await orders.ends())
        self.measured = Measured(
            repeated_requests=(await orders.world()).repeated_requests(),
            repeated_tasks=await orders.repeated_tasks(),
            after_process_start_s=ended_at - worker.started_at,
            after_ready_s=ended_at - await worker.ready_at(),
        )
        return self.measured

    def cells(self) -> tuple[str, ...]:
        figures = ["-"] * 4
        if (found := self.measured) is not None:
            figures = [str(found.repeated_requests), str(found.repeated_tasks)]
            figures += [f"{found.after_process_start_s:.2f}", f"{found.after_ready_s:.2f}"]
        return (self.killed, str(self.orders), *figures, self.verdict)


class Figures:
    """All rows of a run."""

    key = pytest.StashKey["Figures"]()

    def __init__(self) -> None:
        self.rows: list[Figure] = []

    def begin(self, killed: str, orders: int) -> Figure:
        self.rows.append(Figure(killed, orders))
        return self.rows[-1]

    def lines(self) -> list[str]:
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(COLUMNS))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
