"""Keeps batches of jobs for their owners; Postgres is all it takes."""

import asyncio
from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from structlog.contextvars import bind_contextvars

from api.auth import Principal
from api.errors import IdempotencyKeyReused, NotFound
from api.idempotency import key_hash_of
from api.job_batch_resource import FAILURES_SHOWN, BatchResource
from api.job_bodies import JobBatchBody
from api.job_requests import arguments_of, invalid, type_of, written
from api.outages import asking_postgres
from contracts.audit import Act
from contracts.ids import new_batch_id
from contracts.job_batches import JobBatch
from contracts.jobs import JobType
from database.job_batches import BatchRepository, WantedBatch
from database.jobs import KeyReused

# Between so many items others have their turn on the event loop.
ITEMS_AT_ONCE = 200
# More would not be shown.
ERRORS_LOOKED_FOR = 50


class BatchKeeper:
    """Accepts, shows and cancels batches.

    Every method raises Unreachable, and those that take a batch's id NotFound, also for somebody else's. What an
    operator does to somebody else's is in the audit log (`act`).
    """

    def __init__(self, batches: BatchRepository) -> None:
        self._batches = batches

    async def accept(self, caller: Principal, key: str | None, body: JobBatchBody) -> tuple[BatchResource, bool]:
        """Accept a batch; False when its key was used before.

        Raises InvalidRequest, RequestValidationError or IdempotencyKeyReused.
        """
        job_type = type_of(body.type, body.queue)
        if job_type.unique_by:
            raise invalid("type", "must be one whose jobs have no unique key; ask for these one by one")
        wanted = WantedBatch(
            id=new_batch_id(),
            type=job_type.name,
            subject=caller.subject,
            queue=body.queue or job_type.queue,
            priority=body.priority,
            items=await _checked(job_type, body),
            key_hash=key_hash_of(key),
            request_hash=body.request_hash,
        )
        try:
            async with asking_postgres():
                batch, is_new = await self._batches.accept(wanted)
        except KeyReused:
            raise IdempotencyKeyReused("Repeat the very same body, or send a new key with a new batch.") from None
        return await self._now(batch), is_new

    async def get(self, caller: Principal, batch_id: str) -> BatchResource:
        return await self._now(await self._known(caller, batch_id))

    async def cancel(self, caller: Principal, batch_id: str, act: Act) -> BatchResource:
        """End the jobs that have not begun or are between attempts, and have those that run told."""
        known = await self._known(caller, batch_id)
        async with asking_postgres():
            await self._batches.cancel(batch_id, act if caller.acts_for(known.subject) else None)
        return await self.get(caller, batch_id)

    async def _known(self, caller: Principal, batch_id: str) -> JobBatch:
        bind_contextvars(batch_id=batch_id)
        async with asking_postgres():
            batch = await self._batches.find(batch_id)
        if batch is None or not caller.owns(batch.subject):
            raise NotFound
        return batch

    async def _now(self, batch: JobBatch) -> BatchResource:
        async with asking_postgres():
            return BatchResource.of(batch, await self._batches.progress(batch.id, failures=FAILURES_SHOWN))


async def _checked(job_type: JobType, body: JobBatchBody) -> Sequence[str]:
    """The arguments of every item, as JSON. Raises RequestValidationError that names items and fields."""
    items: list[str] = []
    errors: list[dict[str, object]] = []
    for number, item in enumerate(body.items):
        if number % ITEMS_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            arguments = arguments_of(job_type, item, "items", number)
        except RequestValidationError as error:
            errors += error.errors()
            if len(errors) >= ERRORS_LOOKED_FOR:
                break
            continue
        items.append(written(arguments, f"items.{number}"))
    if errors:
        raise RequestValidationError(errors)
    return items
