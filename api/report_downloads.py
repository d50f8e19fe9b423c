"""Files of reports: sent by us, or by the bucket that keeps them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from api.byte_ranges import ByteRange, is_another, is_known, wanted_range
from api.errors import NotFound, PreconditionFailed, TemporarilyUnavailable
from api.paced_answers import PacedAnswer
from api.report_keeping import NOT_FOUND
from contracts.object_store import ObjectNotFound, ObjectStoreFailed
from contracts.order_rows import RowFormat
from contracts.reports import Report, ReportFile
from providers.object_store import ObjectStore

# Long enough to follow a redirect, too short to be passed on.
SIGNED_FOR = timedelta(minutes=1)
MEDIA_TYPES = {RowFormat.CSV: "text/csv; charset=utf-8; header=present", RowFormat.JSONL: "application/jsonl"}

log = structlog.get_logger()


class ReportDownloads:
    """Answers with a report's file, or a part of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def about(self, report: Report, file: ReportFile, asked: Headers) -> Response:
        """The answer to a HEAD request with these headers. Raises PreconditionFailed."""
        # That has no parts (RFC 9110, section 14.2), and a URL of the bucket is signed for getting alone.
        return _known(file, asked) or Response(
            headers={**_described(report, file), "Content-Length": str(file.size)},
            media_type=MEDIA_TYPES[report.terms.format],
        )

    async def answer(self, report: Report, file: ReportFile, asked: Headers) -> Response:
        """The answer to a GET request with these headers.

        Raises PreconditionFailed, RangeNotSatisfiable, TemporarilyUnavailable, and NotFound for a file that was deleted
        just now.
        """
        if known := _known(file, asked):
            return known
        try:
            if url := await self._store.signed_url(file.key, SIGNED_FOR):
                return Response(status_code=307, headers={"Location": url})
            part = wanted_range(asked, _etag(file), file.size)
            start, end = part or ByteRange(0, file.size)
            headers = {**_described(report, file), "Content-Length": str(end - start)}
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


def _etag(file: ReportFile) -> str:
    return f'"{file.sha256}"'


def _known(file: ReportFile, asked: Headers) -> Response | None:
    etag = _etag(file)
    if is_another(asked, etag):
        raise PreconditionFailed(f"Its ETag is {etag}.", headers={"ETag": etag})
    return Response(status_code=304, headers={"ETag": etag}) if is_known(asked, etag) else None


def _described(report: Report, file: ReportFile) -> dict[str, str]:
    return {
        "ETag": _etag(file),
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{report.id}.{report.terms.format}"',
    }


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
