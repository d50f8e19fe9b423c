"""Writes one report in a process of its own, with all that a worker imports, and prints what that took, as JSON.

`DATABASE_URL=... python -m benchmarks.report_writer STORE_URL REPORT`, the report as JSON.
"""

import asyncio
import gc
import json
import sys
import time

import psutil
import uvloop

import worker  # noqa: F401 - for its weight
from activities.reports.orders import OrdersReportWriter
from contracts.reports import OrdersReport
from database.engine import create_engine
from database.order_rows import OrderRows
from providers.object_store import S3Access, open_object_store
from settings import DatabaseSettings

LOOK_EVERY_S = 0.02
MIB = 1024 * 1024


async def main() -> None:
    store_url, report = sys.argv[1:]
    process = psutil.Process()
    # As the worker does.
    gc.collect()
    gc.freeze()
    database_url = DatabaseSettings().database_url.get_secret_value()
    engine = create_engine(database_url, connections=1, application_name="followthrough benchmark: report")
    writer = OrdersReportWriter(OrderRows(engine), open_object_store(store_url, S3Access()))
    before = peak = process.memory_info().rss
    slowest_tick = 0.0

    async def watch() -> None:
        """Sees how large the process becomes, and for how long nothing else would have run in it."""
        nonlocal peak, slowest_tick
        while True:
            looked = time.perf_counter()
            await asyncio.sleep(LOOK_EVERY_S)
            slowest_tick = max(slowest_tick, time.perf_counter() - looked - LOOK_EVERY_S)
            peak = max(peak, process.memory_info().rss)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    written = await writer.write(OrdersReport.model_validate_json(report), lambda _done, _total: None)
    took_s = time.perf_counter() - began
    watching.cancel()
    await engine.dispose()
    found = {
        "rows": written.rows,
        "mib": written.size / MIB,
        "took_s": took_s,
        "rows_per_s": written.rows / took_s,
        "rss_before_mib": before / MIB,
        "rss_peak_mib": peak / MIB,
        "event_loop_blocked_ms": slowest_tick * 1_000,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main())
