"""Files of reports: sent by us, or by the bucket that keeps them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from api.byte_ranges import ByteRange, is_known, wanted_range
from api.errors import NotFound, TemporarilyUnavailable
from api.paced_answers import PacedAnswer
from api.report_keeping import NOT_FOUND
from contracts.order_rows import RowFormat
from contracts.reports import Report, ReportFile
from providers.object_store import ObjectNotFound, ObjectStore, ObjectStoreFailed

# Long enough to follow a redirect, too short to be passed on.
SIGNED_FOR = timedelta(minutes=1)
MEDIA_TYPES = {RowFormat.CSV: "text/csv; charset=utf-8; header=present", RowFormat.JSONL: "application/jsonl"}

log = structlog.get_logger()


class ReportDownloads:
    """Answers with a report's file, or a part of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def answer(self, report: Report, file: ReportFile, asked: Headers) -> Response:
        """The answer to a request with these headers.

        Raises RangeNotSatisfiable, TemporarilyUnavailable, and NotFound for a file that was deleted just now.
        """
        etag = f'"{file.sha256}"'
        if is_known(asked, etag):
            return Response(status_code=304, headers={"ETag": etag})
        try:
            if url := await self._store.signed_url(file.key, SIGNED_FOR):
                return Response(status_code=307, headers={"Location": url})
            part = wanted_range(asked, etag, file.size)
            start, end = part or ByteRange(0, file.size)
            headers = {
                "ETag": etag,
                "Accept-Ranges": "bytes",
                "Content-Length": str(end - start),
                "Content-Disposition": f'attachment; filename="{report.id}.{report.terms.format}"',
            }
            if part is not None:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
            chunks = self._store.stream(file.key, start, end)
            # The first one is read before the answer begins: what is wrong can still be said then.
            first = await anext(chunks, b"")
        except ObjectStoreFailed as error:
            raise TemporarilyUnavailable from error
        except ObjectNotFound:
            log.warning("a report's file is gone", report_id=report.id)
            raise NotFound(NOT_FOUND) from None
        return PacedAnswer(
            _with(first, chunks),
            206 if part is not None else 200,
            headers,
            media_type=MEDIA_TYPES[report.terms.format],
        )


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
