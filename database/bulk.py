"""Bulk actions: which dead letters they are about is written down when they are accepted, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Text, case, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.bulk import (
    Bulk,
    BulkAction,
    BulkFailure,
    BulkItem,
    BulkOutcome,
    BulkProgress,
    BulkRun,
    BulkTurn,
    NotDone,
)
from contracts.dead_letters import DeadLetterFilter
from contracts.errors import ErrorCode
from contracts.orders import OrderStatus
from contracts.outbox import OutboxKind
from database.audit import record
from database.dead_letters import CountDiffers, LetterNotFound, Refused, expect, numbered, retry_one
from database.outbox import put
from database.tables import audit_log, bulk_actions, bulk_items, outbox

# A thing that does not answer is tried so often, a turn of the others apart.
MAX_TRIES = 3

_ORDER_ACTIONS = {BulkAction.RETRY: AuditAction.ORDER_RETRY, BulkAction.RESOLVE: AuditAction.ORDER_RESOLVE}
_ITEM = (bulk_items.c.bulk_id, bulk_items.c.number, bulk_items.c.subject, bulk_items.c.kind)
_PENDING = bulk_items.c.outcome == BulkOutcome.PENDING


class KeyReused(Exception):
    """This operator used the idempotency key with another request before."""


class NothingToResume(Exception):
    """It did not fail, or was resumed since."""


@dataclass(frozen=True)
class WantedBulk:
    """A bulk action as asked for: just `expected` ones, or `limit` at most. The hashes stand for key and request."""

    id: str
    action: BulkAction
    filter: DeadLetterFilter
    resolve_as: OrderStatus | None
    per_second: float
    expected: int | None
    limit: int
    act: Act
    key_hash: str
    request_hash: str


class BulkRepository:
    """Accepts, shows and cancels bulk actions, and does what needs our books alone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def accept(self, wanted: WantedBulk) -> tuple[Bulk, bool]:
        """Accept a bulk action with all its items, once per key; False when the key was used before.

        Raises CountDiffers or KeyReused.
        """
        row = insert(bulk_actions).values(
            id=wanted.id,
            action=wanted.action,
            filter=wanted.filter.model_dump(mode="json", exclude_none=True),
            resolve_as=wanted.resolve_as,
            per_second=wanted.per_second,
            total=0,
            key_hash=wanted.key_hash,
            request_hash=wanted.request_hash,
            **wanted.act.model_dump(),
        )
        async with self._engine.begin() as connection:
            claimed = await connection.scalar(row.on_conflict_do_nothing().returning(bulk_actions.c.id))
            if claimed is None:
                return await self._replay(connection, wanted), False
            await expect(connection, wanted.filter, wanted.expected)
            # What has failed since would be one more.
            limit = wanted.limit if wanted.expected is None else wanted.expected + 1
            found = numbered(wanted.filter, limit).subquery()
            items = select(literal(wanted.id, Text), *found.c)
            taken = await connection.execute(
                insert(bulk_items).from_select(["bulk_id", "number", "subject", "kind"], items)
            )
            if wanted.expected not in (None, taken.rowcount):
                raise CountDiffers(taken.rowcount)
            total = update(bulk_actions).where(bulk_actions.c.id == wanted.id).values(total=taken.rowcount)
            accepted = _bulk((await connection.execute(total.returning(*bulk_actions.c))).one())
            payload = {"bulk_id": accepted.id, "per_second": accepted.per_second}
            await put(connection, aggregate=f"bulk/{accepted.id}", kind=OutboxKind.BULK_ACCEPTED, payload=payload)
            shown = accepted.model_dump(
                mode="json", include={"action", "filter", "resolve_as", "per_second", "total"}, exclude_none=True
            )
            await record(connection, wanted.act, AuditAction.BULK_START, accepted.id, after=shown)
        return accepted, True

    async def _replay(self, connection: AsyncConnection, wanted: WantedBulk) -> Bulk:
        earlier = (
            await connection.execute(
                select(bulk_actions).where(
                    bulk_actions.c.actor == wanted.act.actor, bulk_actions.c.key_hash == wanted.key_hash
                )
            )
        ).one()
        if earlier.request_hash != wanted.request_hash:
            raise KeyReused
        return _bulk(earlier)

    async def find(self, bulk_id: str) -> Bulk | None:
        async with self._engine.connect() as connection:
            query = select(bulk_actions).where(bulk_actions.c.id == bulk_id)
            found = (await connection.execute(query)).one_or_none()
        return _bulk(found) if found is not None else None

    async def progress(self, bulk_id: str, *, shown: int) -> BulkProgress:
        """How far it is, with at most so many of those that were not done, in their order."""
        ours = bulk_items.c.bulk_id == bulk_id
        counted = select(bulk_items.c.outcome, func.count().label("count")).where(ours).group_by(bulk_items.c.outcome)
        uneven = (
            select(bulk_items.c.subject.label("id"), bulk_items.c.outcome, bulk_items.c.code)
            .where(ours, bulk_items.c.outcome.in_((BulkOutcome.SKIPPED, BulkOutcome.FAILED)))
            .order_by(bulk_items.c.number)
            .limit(shown)
        )
        async with self._engine.connect() as connection:
            counts = {BulkOutcome(row.outcome): row[1] for row in await connection.execute(counted)}
            not_done = tuple(NotDone.model_validate(row._mapping) for row in await connection.execute(uneven))
        return BulkProgress(counts=counts, not_done=not_done)

    async def cancel(self, bulk_id: str, act: Act | None) -> None:
        """Leave what has not been done; repeating it changes nothing. `act` is None from Temporal's side."""
        async with self._engine.begin() as connection:
            cancelled = await connection.execute(
                update(bulk_actions)
                .where(bulk_actions.c.id == bulk_id, bulk_actions.c.finished_at.is_(None))
                .values(cancel_requested_at=func.now(), finished_at=func.now())
            )
            left = await connection.execute(_leaving_the_rest(bulk_id))
            if act is not None and cancelled.rowcount:
                await record(connection, act, AuditAction.BULK_CANCEL, bulk_id, after={"cancelled": left.rowcount})

    async def resume(self, bulk_id: str, act: Act) -> None:
        """Have one that failed go on with what was left. Raises NothingToResume."""
        ours = bulk_actions.c.id == bulk_id
        lock = select(bulk_actions.c.failure, bulk_actions.c.per_second, bulk_actions.c.resumes).where(ours)
        async with self._engine.begin() as connection:
            failed = (await connection.execute(lock.with_for_update())).one_or_none()
            if failed is None or failed.failure is None:
                raise NothingToResume
            resumes = failed.resumes + 1
            await connection.execute(
                update(bulk_actions).where(ours).values(failure=None, finished_at=None, resumes=resumes)
            )
            again = await connection.execute(
                update(bulk_items)
                .where(bulk_items.c.bulk_id == bulk_id, bulk_items.c.outcome == BulkOutcome.CANCELLED)
                .values(outcome=BulkOutcome.PENDING, settled_at=None)
            )
            payload = {"bulk_id": bulk_id, "per_second": failed.per_second, "resumes": resumes}
            await put(connection, aggregate=f"bulk/{bulk_id}", kind=OutboxKind.BULK_RESUMED, payload=payload)
            await record(
                connection,
                act,
                AuditAction.BULK_RESUME,
                bulk_id,
                before={"failure": failed.failure},
                after={"pending": again.rowcount},
            )

    # What those do that look after its process.

    async def under_way(self) -> Sequence[BulkRun]:
        """The processes that should be at work, but those that the outbox has yet to start."""
        unstarted = select(outbox.c.id).where(outbox.c.aggregate == "bulk/" + bulk_actions.c.id).exists()
        query = select(bulk_actions.c.id.label("bulk_id"), bulk_actions.c.resumes).where(
            bulk_actions.c.finished_at.is_(None), ~unstarted
        )
        async with self._engine.connect() as connection:
            return [BulkRun.model_validate(row._mapping) for row in await connection.execute(query)]

    async def fail(self, run: BulkRun, failure: BulkFailure) -> bool:
        """Leave what this process has not done. False when it had ended in our books, or another one goes on."""
        ours = (bulk_actions.c.id == run.bulk_id, bulk_actions.c.resumes == run.resumes)
        async with self._engine.begin() as connection:
            lock = select(bulk_actions.c.id).where(*ours, bulk_actions.c.finished_at.is_(None)).with_for_update()
            if await connection.scalar(lock) is None:
                return False
            left = await connection.execute(_leaving_the_rest(run.bulk_id))
            await connection.execute(
                update(bulk_actions)
                .where(*ours)
                .values(finished_at=func.now(), failure=failure if left.rowcount else None)
            )
        return True

    # What its process does.

    async def next(self, bulk_id: str, limit: int) -> Sequence[BulkItem]:
        """The first of those that are left; one that gave no answer comes behind the others."""
        query = (
            select(*_ITEM)
            .where(bulk_items.c.bulk_id == bulk_id, _PENDING)
            .order_by(bulk_items.c.tries, bulk_items.c.number)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [BulkItem.model_validate(row._mapping) for row in await connection.execute(query)]

    async def retry(self, item: BulkItem, act: Act) -> None:
        """Retry what is no order, with its entry in the audit log and its outcome in one transaction."""
        async with self._engine.begin() as connection:
            lock = select(bulk_items.c.number).where(*_is(item), _PENDING).with_for_update()
            if await connection.scalar(lock) is None:
                return
            outcome, code = BulkOutcome.DONE, None
            try:
                async with connection.begin_nested():
                    await retry_one(connection, item.subject, item.kind, act)
            except LetterNotFound:
                outcome, code = BulkOutcome.SKIPPED, ErrorCode.NOT_FOUND
            except Refused as refused:
                outcome, code = BulkOutcome.SKIPPED, refused.code
            await connection.execute(_settling(item, outcome, code))

    async def settle_order(self, bulk: Bulk, item: BulkItem, refusal: str | None) -> None:
        """Write down what an order's workflow answered: a refusal's code, or that it was done.

        A repeat of what was done is refused, and the audit log knows better: the entry that the order's booking made
        is the proof.
        """
        outcome = BulkOutcome.DONE if refusal is None else BulkOutcome.SKIPPED
        async with self._engine.begin() as connection:
            if refusal is not None and await connection.scalar(_entry_of(bulk, item)) is not None:
                outcome, refusal = BulkOutcome.DONE, None
            await connection.execute(_settling(item, outcome, refusal))

    async def not_answered(self, bulk: Bulk, item: BulkItem) -> None:
        """Write down that an order gave no answer; after a few times it has failed, and may still take it up later."""
        last = bulk_items.c.tries + 1 >= MAX_TRIES
        async with self._engine.begin() as connection:
            if await connection.scalar(_entry_of(bulk, item)) is not None:
                await connection.execute(_settling(item, BulkOutcome.DONE, None))
                return
            await connection.execute(
                update(bulk_items)
                .where(*_is(item), _PENDING)
                .values(
                    tries=bulk_items.c.tries + 1,
                    outcome=case((last, BulkOutcome.FAILED.value), else_=BulkOutcome.PENDING.value),
                    code=case((last, ErrorCode.TEMPORARILY_UNAVAILABLE.value), else_=null()),
                    settled_at=case((last, func.now()), else_=null()),
                )
            )

    async def turn(self, bulk_id: str, tried: int) -> BulkTurn:
        """What is left after a turn; the last one ends the bulk action."""
        async with self._engine.begin() as connection:
            count = select(func.count()).where(bulk_items.c.bulk_id == bulk_id, _PENDING)
            pending = (await connection.scalar(count)) or 0
            if not pending:
                await connection.execute(
                    update(bulk_actions)
                    .where(bulk_actions.c.id == bulk_id, bulk_actions.c.finished_at.is_(None))
                    .values(finished_at=func.now())
                )
        return BulkTurn(tried=tried, pending=pending)


def _is(item: BulkItem) -> tuple[Any, Any]:
    return bulk_items.c.bulk_id == item.bulk_id, bulk_items.c.number == item.number


def _leaving_the_rest(bulk_id: str) -> Any:
    return (
        update(bulk_items)
        .where(bulk_items.c.bulk_id == bulk_id, _PENDING)
        .values(outcome=BulkOutcome.CANCELLED, settled_at=func.now())
    )


def _settling(item: BulkItem, outcome: BulkOutcome, code: str | None) -> Any:
    # What was done is done, also when it was cancelled at that moment.
    open_ones = (BulkOutcome.PENDING, BulkOutcome.CANCELLED) if outcome is BulkOutcome.DONE else (BulkOutcome.PENDING,)
    return (
        update(bulk_items)
        .where(*_is(item), bulk_items.c.outcome.in_(open_ones))
        .values(outcome=outcome, code=code, settled_at=func.now())
    )


def _entry_of(bulk: Bulk, item: BulkItem) -> Any:
    return select(audit_log.c.id).where(
        audit_log.c.subject == item.subject,
        audit_log.c.created_at >= bulk.created_at,
        audit_log.c.action == _ORDER_ACTIONS[bulk.action],
        audit_log.c.actor == bulk.act.actor,
        audit_log.c.request_id == bulk.act.request_id,
    )


def _bulk(row: Row[Any]) -> Bulk:
    columns = row._mapping
    return Bulk.model_validate({**columns, "act": {name: columns[name] for name in Act.model_fields}})
