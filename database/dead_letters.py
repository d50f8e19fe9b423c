"""Dead letters, read off the tables of what failed, and what operators do about them. docs/decisions/dead-letters.md"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    TableClause,
    Text,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.dead_letters import DeadLetter, DeadLetterCount, DeadLetterFilter, DeadLetterKind
from contracts.errors import ErrorCode
from contracts.ids import is_account_id
from contracts.jobs import JobStatus
from contracts.orders import OrderStatus
from contracts.outbox import OutboxKind
from contracts.webhooks import DisabledReason, EndpointStatus
from database.audit import record
from database.outbox import put
from database.paging import Position
from database.tables import discarded_letters, jobs, mails, orders, webhook_endpoints

# The timeline of a parked order says when it was parked and what is left to do; its first unsettled step is the reason.
_ALL = text("""
    SELECT jobs.id, 'job' AS kind, coalesce(last_error ->> 'code', jobs.status) AS reason,
        coalesce(last_error ->> 'message', '') AS message, finished_at AS since, attempt AS attempts, subject, type
    FROM followthrough.jobs WHERE jobs.status IN ('failed', 'timed_out')
    UNION ALL
    SELECT orders.id, 'order', 'stuck_at_' || coalesce(
            (SELECT step FROM followthrough.order_steps WHERE order_id = orders.id AND outcome IS NULL
             ORDER BY begun_at LIMIT 1), 'unknown'),
        stop.detail, stop.at, stop.stops, customer_id, NULL
    FROM followthrough.orders CROSS JOIN LATERAL (
        SELECT (array_agg(detail ORDER BY sequence DESC))[1] AS detail, max(at) AS at,
            CAST(count(*) AS integer) AS stops
        FROM followthrough.order_events WHERE order_id = orders.id AND type = 'needs_attention'
    ) AS stop
    WHERE orders.status = 'needs_attention'
    UNION ALL
    SELECT mails.id, 'mail', 'bounced',
        'The recipient''s server refused it for good: ' || replace(split_part(message_id, '.', 2), '_', ' ') || '.',
        mails.at, attempts, coalesce(
            (SELECT customer_id FROM followthrough.orders WHERE orders.id = substring(message_id FROM '^<(ord_[^.]+)')),
            substring(message_id FROM '^<([^.]+)')), NULL
    FROM followthrough.mails WHERE outcome = 'bounced'
    UNION ALL
    SELECT webhook_endpoints.id, 'webhook_endpoint', disabled_reason,
        CASE disabled_reason WHEN 'gone' THEN 'The receiver answered 410: it wants no more.'
            ELSE 'The receiver has failed for days.' END,
        coalesce(disabled_at, updated_at), (
            SELECT CAST(count(*) AS integer) FROM followthrough.webhook_deliveries
            WHERE endpoint_id = webhook_endpoints.id AND webhook_deliveries.status = 'failed'
        ), owner, NULL
    FROM followthrough.webhook_endpoints WHERE status = 'disabled' AND disabled_reason IN ('gone', 'failing')
""").columns(
    Column("id", String),
    Column("kind", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("since", DateTime(timezone=True)),
    Column("attempts", Integer),
    Column("subject", Text),
    Column("type", Text),
)
_letters = _ALL.subquery("letters")
_is_discarded = (
    select(discarded_letters.c.id)
    .where(discarded_letters.c.id == _letters.c.id, discarded_letters.c.since >= _letters.c.since)
    .exists()
)


def _listed(letter_id: ColumnElement[str], since: ColumnElement[Any]) -> ColumnElement[bool]:
    return ~(
        select(discarded_letters.c.id)
        .where(discarded_letters.c.id == letter_id, discarded_letters.c.since >= since)
        .exists()
    )


# The same letters without what the list says of them, which takes longer to find than they do.
_DEAD: Mapping[DeadLetterKind, Select[Any]] = {
    DeadLetterKind.JOB: select(jobs.c.id).where(
        jobs.c.status.in_((JobStatus.FAILED, JobStatus.TIMED_OUT)), _listed(jobs.c.id, jobs.c.finished_at)
    ),
    DeadLetterKind.ORDER: select(orders.c.id).where(orders.c.status == OrderStatus.NEEDS_ATTENTION),
    DeadLetterKind.MAIL: select(mails.c.id).where(mails.c.outcome == "bounced", _listed(mails.c.id, mails.c.at)),
    DeadLetterKind.WEBHOOK_ENDPOINT: select(webhook_endpoints.c.id).where(
        webhook_endpoints.c.status == EndpointStatus.DISABLED,
        webhook_endpoints.c.disabled_reason.in_((DisabledReason.GONE, DisabledReason.FAILING)),
        _listed(webhook_endpoints.c.id, func.coalesce(webhook_endpoints.c.disabled_at, webhook_endpoints.c.updated_at)),
    ),
}


class LetterNotFound(LookupError):
    """There is nothing with this id, dead or alive."""


class Refused(Exception):
    """This cannot be done to what has this id; `code` says why."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code


class CountDiffers(Exception):
    """There are not as many as were expected."""

    def __init__(self, found: int) -> None:
        super().__init__(found)
        self.found = found


@dataclass(frozen=True)
class Swept:
    """What became of those that a filter found; each that was skipped with the reason."""

    matching: int
    done: Sequence[str] = ()
    skipped: Mapping[str, ErrorCode] = field(default_factory=dict)


# What a sweep skips it goes on behind, but not for longer than its caller waits.
SKIPPED_AT_MOST = 200

Treatment = Callable[[AsyncConnection, DeadLetter, Act], Coroutine[Any, Any, None]]


class DeadLetters:
    """Lists dead letters, and has them retried or discarded; each action is in the audit log."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list(
        self, wanted: DeadLetterFilter, *, after: Position | None, limit: int
    ) -> tuple[Sequence[DeadLetter], Sequence[DeadLetterCount]]:
        """At most `limit` of those behind `after`, latest first; and how many there are in all, whatever the page."""
        page = _fitting(select(_letters), wanted).order_by(_letters.c.since.desc(), _letters.c.id.desc()).limit(limit)
        if after is not None:
            page = page.where(tuple_(_letters.c.since, _letters.c.id) < (after.created_at, after.id))
        async with self._engine.connect() as connection:
            found = [DeadLetter.model_validate(row._mapping) for row in await connection.execute(page)]
            return found, await _counts(connection, wanted)

    async def counts(self, wanted: DeadLetterFilter) -> Sequence[DeadLetterCount]:
        """How many there are of each kind for each reason."""
        async with self._engine.connect() as connection:
            return await _counts(connection, wanted)

    async def tally(self, at_most: int) -> Mapping[DeadLetterKind, int]:
        """How many there are of each kind, counted no further than this."""
        counts = [
            select(literal(kind), func.count()).select_from(dead.limit(at_most).subquery())
            for kind, dead in _DEAD.items()
        ]
        async with self._engine.connect() as connection:
            return {DeadLetterKind(kind): count for kind, count in await connection.execute(union_all(*counts))}

    async def oldest(self, wanted: DeadLetterFilter, limit: int) -> Sequence[DeadLetter]:
        """Those that a bulk action would take first."""
        query = oldest_first(wanted).limit(limit)
        async with self._engine.connect() as connection:
            return [DeadLetter.model_validate(row._mapping) for row in await connection.execute(query)]

    async def retry(self, letter_id: str, kind: DeadLetterKind, act: Act) -> None:
        """Have something tried again. Not for orders, which their workflows take back: see `Refused`.

        Raises LetterNotFound, or Refused for what is no dead letter.
        """
        async with self._engine.begin() as connection:
            await _treat(connection, letter_id, kind, act, _RETRIES)

    async def discard(self, letter_id: str, kind: DeadLetterKind, act: Act) -> None:
        """Have something listed no more, unless it fails anew. Raises LetterNotFound or Refused."""
        async with self._engine.begin() as connection:
            await _treat(connection, letter_id, kind, act, _DISCARDS)

    async def retry_all(self, wanted: DeadLetterFilter, act: Act, *, expected: int | None, limit: int) -> Swept:
        """Retry those that fit, oldest first, `limit` at most; all in one transaction. Raises CountDiffers."""
        return await self._sweep(wanted, act, {**_RETRIES, DeadLetterKind.ORDER: _ask_order}, expected, limit)

    async def discard_all(self, wanted: DeadLetterFilter, act: Act, *, expected: int | None, limit: int) -> Swept:
        """Discard those that fit, oldest first, `limit` at most; all in one transaction. Raises CountDiffers."""
        return await self._sweep(wanted, act, _DISCARDS, expected, limit)

    async def _sweep(
        self,
        wanted: DeadLetterFilter,
        act: Act,
        treatments: Mapping[DeadLetterKind, Treatment],
        expected: int | None,
        limit: int,
    ) -> Swept:
        # The oldest, but what nothing of its kind can be done to behind all that something can.
        place = (_letters.c.kind.not_in(list(treatments)), _letters.c.since, _letters.c.id)
        in_turn = _fitting(select(_letters.c.kind, *place), wanted).order_by(*place)
        done: list[str] = []
        skipped: dict[str, ErrorCode] = {}
        async with self._engine.begin() as connection:
            matching = await expect(connection, wanted, expected)
            # What has failed since would be one more.
            limit = limit if expected is None else expected + 1
            page = in_turn
            while len(done) < limit and len(skipped) < SKIPPED_AT_MOST:
                rows = (await connection.execute(page.limit(limit - len(done)))).all()
                if not rows:
                    break
                for row in rows:
                    try:
                        async with connection.begin_nested():
                            await _treat(connection, row.id, DeadLetterKind(row.kind), act, treatments)
                        done.append(row.id)
                    except LetterNotFound:
                        skipped[row.id] = ErrorCode.NOT_FOUND
                    except Refused as refused:
                        skipped[row.id] = refused.code
                page = in_turn.where(tuple_(*place) > tuple_(*rows[-1][1:]))
            if expected not in (None, len(done) + len(skipped)):
                raise CountDiffers(len(done) + len(skipped))
        return Swept(matching, done, skipped)


def oldest_first(wanted: DeadLetterFilter, *columns: ColumnElement[Any]) -> Select[Any]:
    """These columns of the dead letters that fit; all that there are without any."""
    return _fitting(select(*columns or _letters.c), wanted).order_by(_letters.c.since, _letters.c.id)


def numbered(wanted: DeadLetterFilter, limit: int) -> Select[Any]:
    """Number, id and kind of those that fit, oldest first, from 1."""
    number = func.row_number().over(order_by=(_letters.c.since, _letters.c.id))
    return oldest_first(wanted, number, _letters.c.id, _letters.c.kind).limit(limit)


async def expect(connection: AsyncConnection, wanted: DeadLetterFilter, expected: int | None) -> int:
    """How many fit. Raises CountDiffers when that is not as many as were expected."""
    matching = sum(one.count for one in await _counts(connection, wanted))
    if expected is not None and matching != expected:
        raise CountDiffers(matching)
    return matching


async def retry_one(connection: AsyncConnection, letter_id: str, kind: DeadLetterKind, act: Act) -> None:
    """As `DeadLetters.retry`, as a part of the connection's transaction."""
    await _treat(connection, letter_id, kind, act, _RETRIES)


def _fitting(query: Select[Any], wanted: DeadLetterFilter) -> Select[Any]:
    query = query.where(~_is_discarded)
    for column, value in (
        ("kind", wanted.kind),
        ("type", wanted.type),
        ("reason", wanted.reason),
        ("subject", wanted.subject),
    ):
        if value is not None:
            query = query.where(_letters.c[column] == value)
    if wanted.older_than_s is not None:
        query = query.where(_letters.c.since < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, wanted.older_than_s))
    return query


async def _counts(connection: AsyncConnection, wanted: DeadLetterFilter) -> Sequence[DeadLetterCount]:
    counted = (func.count().label("count"), func.min(_letters.c.since).label("oldest"))
    query = _fitting(select(_letters.c.kind, _letters.c.reason, *counted), wanted)
    query = query.group_by(_letters.c.kind, _letters.c.reason).order_by(_letters.c.kind, _letters.c.reason)
    return [DeadLetterCount.model_validate(row._mapping) for row in await connection.execute(query)]


_TABLES: Mapping[DeadLetterKind, TableClause] = {
    DeadLetterKind.JOB: jobs,
    DeadLetterKind.ORDER: orders,
    DeadLetterKind.MAIL: mails,
    DeadLetterKind.WEBHOOK_ENDPOINT: webhook_endpoints,
}


async def _treat(
    connection: AsyncConnection,
    letter_id: str,
    kind: DeadLetterKind,
    act: Act,
    treatments: Mapping[DeadLetterKind, Treatment],
) -> None:
    """Do what there is to do to this kind, once the thing's row is locked and it is a dead letter still."""
    table = _TABLES[kind]
    # An order's row is its workflow's to lock.
    lock = select(table.c.id).where(table.c.id == letter_id)
    if kind is not DeadLetterKind.ORDER:
        lock = lock.with_for_update()
    if await connection.scalar(lock) is None:
        raise LetterNotFound(letter_id)
    query = select(_letters).where(_letters.c.id == letter_id, _letters.c.kind == kind, ~_is_discarded)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise Refused(ErrorCode.NOT_A_DEAD_LETTER)
    treatment = treatments.get(kind)
    if treatment is None:
        raise Refused(ErrorCode.MUST_BE_RESOLVED)
    await treatment(connection, DeadLetter.model_validate(found._mapping), act)


async def _restart_job(connection: AsyncConnection, letter: DeadLetter, act: Act) -> None:
    before = (await connection.execute(select(jobs.c.status, jobs.c.attempt).where(jobs.c.id == letter.id))).one()
    changes: dict[str, Any] = {
        "status": JobStatus.SCHEDULED,
        "restarts": jobs.c.restarts + 1,
        "earlier_attempts": jobs.c.attempt,
        "run_at": func.now(),
        "checked_at": func.now(),
        "finished_at": None,
        "cancel_requested_at": None,
        "progress": None,
    }
    try:
        async with connection.begin_nested():
            await connection.execute(update(jobs).where(jobs.c.id == letter.id).values(**changes))
    except IntegrityError:
        # Another job lives under its unique key by now.
        raise Refused(ErrorCode.UNIQUE_KEY_TAKEN) from None
    await put(connection, aggregate=f"job/{letter.id}", kind=OutboxKind.JOB_RETRIED, payload={"job_id": letter.id})
    await record(
        connection,
        act,
        AuditAction.JOB_RETRY,
        letter.id,
        before={"status": before.status, "attempt": before.attempt, "reason": letter.reason},
        after={"status": JobStatus.QUEUED},
    )


async def _ask_order(connection: AsyncConnection, letter: DeadLetter, act: Act) -> None:
    """Have the order's workflow asked to take it back, which writes the entry of the audit log with its booking."""
    payload = {"order_id": letter.id, **act.model_dump()}
    await put(connection, aggregate=f"order/{letter.id}", kind=OutboxKind.ORDER_RETRIED, payload=payload)


async def _send_mail_again(connection: AsyncConnection, letter: DeadLetter, act: Act) -> None:
    again = update(mails).where(mails.c.id == letter.id).values(outcome=None).returning(mails.c.message_id)
    message_id = (await connection.execute(again)).scalar_one()
    if letter.subject is None or not is_account_id(letter.subject):
        raise Refused(ErrorCode.CANNOT_BE_RETRIED)
    payload = {"message_id": message_id, "account_id": letter.subject}
    await put(connection, aggregate=f"mail/{letter.id}", kind=OutboxKind.MAIL_RETRIED, payload=payload)
    await record(
        connection,
        act,
        AuditAction.MAIL_RETRY,
        letter.id,
        before={"outcome": letter.reason},
        after={"outcome": None},
    )


async def _enable_endpoint(connection: AsyncConnection, letter: DeadLetter, act: Act) -> None:
    await connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id == letter.id)
        .values(
            status=EndpointStatus.ACTIVE,
            disabled_reason=None,
            disabled_at=None,
            failing_since=None,
            updated_at=func.now(),
        )
    )
    await record(
        connection,
        act,
        AuditAction.ENDPOINT_RETRY,
        letter.id,
        before={"status": EndpointStatus.DISABLED, "disabled_reason": letter.reason},
        after={"status": EndpointStatus.ACTIVE},
    )


def _discarding(action: AuditAction) -> Treatment:
    async def discard(connection: AsyncConnection, letter: DeadLetter, act: Act) -> None:
        row = insert(discarded_letters).values(id=letter.id, since=letter.since)
        await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"since": letter.since}))
        shown = {"reason": letter.reason, "since": letter.since.isoformat()}
        await record(connection, act, action, letter.id, before={"listed": True, **shown}, after={"listed": False})

    return discard


# An order is never discarded: there is money and stock in it, which somebody has to settle.
_RETRIES: Mapping[DeadLetterKind, Treatment] = {
    DeadLetterKind.JOB: _restart_job,
    DeadLetterKind.MAIL: _send_mail_again,
    DeadLetterKind.WEBHOOK_ENDPOINT: _enable_endpoint,
}
_DISCARDS: Mapping[DeadLetterKind, Treatment] = {
    DeadLetterKind.JOB: _discarding(AuditAction.JOB_DISCARD),
    DeadLetterKind.MAIL: _discarding(AuditAction.MAIL_DISCARD),
    DeadLetterKind.WEBHOOK_ENDPOINT: _discarding(AuditAction.ENDPOINT_DISCARD),
}
