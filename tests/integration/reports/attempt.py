"""One attempt at a report, as a process of its own that can be killed: prints how many rows are stored, as it goes.

`DATABASE_URL=... python -m tests.integration.reports.attempt STORE_URL PART_ROWS REPORT`, the report as JSON.
"""

import asyncio
import sys

from activities.reports.orders import OrdersReportWriter
from contracts.reports import OrdersReport
from database.engine import create_engine
from database.order_rows import OrderRows
from providers.object_store import S3Access, open_object_store
from settings import DatabaseSettings


def tell(done: int, _total: int) -> None:
    sys.stdout.write(f"{done}\n")
    sys.stdout.flush()


async def main() -> None:
    store_url, part_rows, report = sys.argv[1:]
    database_url = DatabaseSettings().database_url.get_secret_value()
    engine = create_engine(database_url, connections=1, application_name="followthrough tests: report")
    writer = OrdersReportWriter(OrderRows(engine), open_object_store(store_url, S3Access()), part_rows=int(part_rows))
    await writer.write(OrdersReport.model_validate_json(report), tell)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
