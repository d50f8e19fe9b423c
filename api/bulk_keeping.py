"""Accepts bulk actions, and shows how far they are; Postgres is all it takes. Their processes do them."""

from hashlib import sha256

from structlog.contextvars import bind_contextvars

from api.bulk_bodies import BulkBody, BulkPreviewBody
from api.bulk_resource import SHOWN_NOT_DONE, BulkPreview, BulkResource
from api.dead_letter_resource import DeadLetterResource
from api.errors import CountDiffers, IdempotencyKeyReused, NotFound, NothingToResume
from api.outages import asking_postgres
from contracts.audit import Act
from contracts.bulk import MAX_ITEMS, Bulk
from contracts.ids import new_bulk_id
from database.bulk import BulkRepository, KeyReused, WantedBulk
from database.bulk import NothingToResume as NotFailed
from database.dead_letters import CountDiffers as Differs
from database.dead_letters import DeadLetters

SAMPLE = 10


class BulkKeeper:
    """Every method raises Unreachable, and those that take a bulk action's id NotFound."""

    def __init__(self, bulks: BulkRepository, letters: DeadLetters) -> None:
        self._bulks = bulks
        self._letters = letters

    async def preview(self, body: BulkPreviewBody) -> BulkPreview:
        async with asking_postgres():
            counts = await self._letters.counts(body.wanted)
            sample = await self._letters.oldest(body.wanted, SAMPLE)
        return BulkPreview(
            matching=sum(one.count for one in counts),
            counts=tuple(counts),
            sample=tuple(map(DeadLetterResource.of, sample)),
        )

    async def accept(self, key: str, body: BulkBody, act: Act) -> tuple[BulkResource, bool]:
        """Accept a bulk action; False when its key was used before. Raises CountDiffers or IdempotencyKeyReused."""
        wanted = WantedBulk(
            id=new_bulk_id(),
            action=body.action,
            filter=body.wanted,
            resolve_as=body.status,
            per_second=body.per_second,
            expected=body.expected,
            limit=body.limit if body.limit is not None else MAX_ITEMS,
            act=act,
            key_hash=sha256(key.encode()).hexdigest(),
            request_hash=body.request_hash,
        )
        try:
            async with asking_postgres():
                bulk, is_new = await self._bulks.accept(wanted)
        except Differs as differs:
            raise CountDiffers(f"The filter fits {differs.found}.") from None
        except KeyReused:
            raise IdempotencyKeyReused("Repeat the very same body, or send a new key.") from None
        bind_contextvars(bulk_id=bulk.id)
        return await self._now(bulk), is_new

    async def get(self, bulk_id: str) -> BulkResource:
        bind_contextvars(bulk_id=bulk_id)
        async with asking_postgres():
            bulk = await self._bulks.find(bulk_id)
        if bulk is None:
            raise NotFound
        return await self._now(bulk)

    async def cancel(self, bulk_id: str, act: Act) -> BulkResource:
        """Leave what has not been done; what was done stays done."""
        await self.get(bulk_id)
        async with asking_postgres():
            await self._bulks.cancel(bulk_id, act)
        return await self.get(bulk_id)

    async def resume(self, bulk_id: str, act: Act) -> BulkResource:
        """Have one that failed go on with what was left. Raises NothingToResume."""
        await self.get(bulk_id)
        try:
            async with asking_postgres():
                await self._bulks.resume(bulk_id, act)
        except NotFailed:
            raise NothingToResume from None
        return await self.get(bulk_id)

    async def _now(self, bulk: Bulk) -> BulkResource:
        async with asking_postgres():
            return BulkResource.of(bulk, await self._bulks.progress(bulk.id, shown=SHOWN_NOT_DONE))
