"""Orders as a file that is written while it is sent, as fast as its reader takes it.

docs/decisions/exports-in-pages.md
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send

from api.errors import TooManyExports
from api.metrics import ORDER_EXPORTS
from api.outages import asking_postgres
from api.paced_answers import PacedAnswer
from contracts.order_rows import OrderRow, as_csv, csv_header
from database.order_rows import PAGE_ROWS, OrderRows, behind
from database.orders import OrderFilter
from database.paging import Position

EXPORTS_AT_ONCE = 4


class OrderExporter:
    """Exports orders, a few files at once."""

    def __init__(self, rows: OrderRows) -> None:
        self.rows = rows
        self._under_way = 0

    def csv(self, wanted: OrderFilter, *, customer_id: str | None) -> "CsvExport":
        """The orders that fit, newest first; of every customer when `customer_id` is None."""
        return CsvExport(self, wanted, customer_id)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take up one of the places for exports. Raises TooManyExports."""
        if self._under_way >= EXPORTS_AT_ONCE:
            raise TooManyExports
        self._under_way += 1
        try:
            with ORDER_EXPORTS.track_inprogress():
                yield
        finally:
            self._under_way -= 1


class CsvExport(PacedAnswer):
    """An answer that reads a page, sends it, and reads the next one when the client has room for it.

    Raises Unreachable and TooManyExports before it begins. Later on an outage breaks the connection, so that nobody
    takes a part for the whole.
    """

    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, exporter: OrderExporter, wanted: OrderFilter, customer_id: str | None) -> None:
        super().__init__((), headers={"Content-Disposition": 'attachment; filename="orders.csv"'})
        self._exporter = exporter
        self._wanted = wanted
        self._customer_id = customer_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The place is held here and not in the generator, which nobody closes at once when the client has gone.
        with self._exporter.place():
            self.body_iterator = self._chunks(await self._page(after=None))
            await super().__call__(scope, receive, send)

    async def _chunks(self, page: Sequence[OrderRow]) -> AsyncIterator[bytes]:
        yield csv_header() + as_csv(page)
        while page and (page := await self._page(after=behind(page[-1]))):
            yield as_csv(page)

    async def _page(self, after: Position | None) -> Sequence[OrderRow]:
        async with asking_postgres():
            return await self._exporter.rows.page(
                self._wanted, customer_id=self._customer_id, after=after, limit=PAGE_ROWS
            )
