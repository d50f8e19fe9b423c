"""The worker as it is, but for two things: parts of reports are small, and no part is begun once there are so many.

python -m tests.chaos.holding_report_worker HOME PARTS
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

from activities.reports.orders import OrdersReportWriter
from contracts import queues
from contracts.reports import OrdersReport, ReportPart, ReportProgress
from database.order_rows import OrderRows
from hosting import jobs as jobs_hosted
from providers.object_store import ObjectStore
from stack import run
from stack.home import Home

PART_ROWS = 300


class HoldingWriter(OrdersReportWriter):
    """Waits for good when this many parts are stored, so that it can be killed there."""

    def __init__(self, rows: OrderRows, store: ObjectStore, *, parts: int) -> None:
        super().__init__(rows, store, part_rows=PART_ROWS)
        self._parts_wanted = parts

    async def _next_part(self, report: OrdersReport, progress: ReportProgress) -> ReportPart | None:
        if len(progress.parts) == self._parts_wanted:
            await asyncio.Event().wait()
        return await super()._next_part(report, progress)


def main(home: str, parts: str) -> None:
    vars(jobs_hosted).update(OrdersReportWriter=partial(HoldingWriter, parts=int(parts)))
    run.worker(Home(Path(home)), queues.ALL)


if __name__ == "__main__":
    main(*sys.argv[1:])
