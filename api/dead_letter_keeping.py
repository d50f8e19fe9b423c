"""Shows operators what failed, and does what they say about it."""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Protocol

from structlog.contextvars import bind_contextvars

from api.auth import Principal
from api.cursors import next_cursor, position_of
from api.dead_letter_bodies import MAX_SWEPT, DiscardAllBody, RetryAllBody
from api.dead_letter_resource import (
    AuditList,
    DeadLetterList,
    DeadLetterResource,
    DealtWith,
    SkippedLetter,
    SweepResource,
)
from api.errors import (
    CannotBeRetried,
    CountDiffers,
    MustBeResolved,
    NotADeadLetter,
    NotFound,
    NotParked,
    Problem,
    UniqueKeyTaken,
)
from api.order_commands import OrderCommands
from api.outages import asking_postgres
from contracts.audit import Act
from contracts.dead_letters import DeadLetterFilter, DeadLetterKind
from contracts.errors import ErrorCode
from contracts.ids import is_endpoint_id, is_job_id, is_mail_id, is_order_id
from database.audit import AuditLog
from database.dead_letters import CountDiffers as Differs
from database.dead_letters import DeadLetters, LetterNotFound, Refused, Swept
from database.paging import Position

REFUSALS: Mapping[ErrorCode, type[Problem]] = MappingProxyType(
    {kind.code: kind for kind in (NotADeadLetter, UniqueKeyTaken, CannotBeRetried, MustBeResolved)}
)


class DeadLetterKeeper:
    """Lists, retries and discards dead letters, and shows the audit log. Every method raises Unreachable."""

    def __init__(self, letters: DeadLetters, audit: AuditLog, orders: OrderCommands) -> None:
        self._letters = letters
        self._audit = audit
        self._orders = orders

    async def list(self, wanted: DeadLetterFilter, *, cursor: str | None, limit: int) -> DeadLetterList:
        """Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found, counts = await self._letters.list(wanted, after=after, limit=limit + 1)
        return DeadLetterList(
            items=tuple(map(DeadLetterResource.of, found[:limit])),
            next_cursor=next_cursor(found, limit, lambda letter: Position(letter.since, letter.id)),
            total=sum(one.count for one in counts),
            counts=tuple(counts),
        )

    async def retry(self, caller: Principal, letter_id: str, act: Act) -> DealtWith:
        """Have something tried again. Raises NotFound, NotADeadLetter, CannotBeRetried or UniqueKeyTaken."""
        kind = _kind_of(letter_id)
        if kind is DeadLetterKind.ORDER:
            try:
                await self._orders.retry(caller, letter_id, act)
            except NotParked as refused:
                raise NotADeadLetter(refused.detail) from None
        else:
            await self._deal(self._letters.retry, letter_id, kind, act)
        return DealtWith.by("retried", letter_id, kind)

    async def discard(self, letter_id: str, act: Act) -> DealtWith:
        """Have something listed no more. Raises NotFound, NotADeadLetter or MustBeResolved."""
        kind = _kind_of(letter_id)
        await self._deal(self._letters.discard, letter_id, kind, act)
        return DealtWith.by("discarded", letter_id, kind)

    async def retry_all(self, body: RetryAllBody, act: Act) -> SweepResource:
        """Raises CountDiffers."""
        return await self._sweep(body, self._letters.retry_all, act)

    async def discard_all(self, body: DiscardAllBody, act: Act) -> SweepResource:
        """Raises CountDiffers."""
        return await self._sweep(body, self._letters.discard_all, act)

    async def audit(
        self, *, subject: str | None, actor: str | None, action: str | None, cursor: str | None, limit: int
    ) -> AuditList:
        """Raises InvalidCursor."""
        after = position_of(cursor)
        async with asking_postgres():
            found = await self._audit.list(subject=subject, actor=actor, action=action, after=after, limit=limit + 1)
        return AuditList(
            items=tuple(found[:limit]),
            next_cursor=next_cursor(found, limit, lambda entry: Position(entry.at, entry.id)),
        )

    async def audit_of_delivery(self, endpoint_id: str, delivery_id: str, *, limit: int) -> AuditList:
        """The first page: what was done to a delivery is in the audit log under its endpoint."""
        async with asking_postgres():
            found = await self._audit.of_delivery(endpoint_id, delivery_id, limit)
        return AuditList(items=tuple(found), next_cursor=None)

    async def _deal(self, deal: "Deal", letter_id: str, kind: DeadLetterKind, act: Act) -> None:
        try:
            async with asking_postgres():
                await deal(letter_id, kind, act)
        except LetterNotFound:
            raise NotFound from None
        except Refused as refused:
            raise REFUSALS[refused.code] from None

    async def _sweep(self, body: RetryAllBody | DiscardAllBody, sweep: "Sweep", act: Act) -> SweepResource:
        wanted = body.filter.wanted
        swept = None
        try:
            async with asking_postgres():
                if not body.preview:
                    limit = body.limit if body.limit is not None else MAX_SWEPT
                    swept = await sweep(wanted, act, expected=body.expected, limit=limit)
                counts = await self._letters.counts(wanted)
        except Differs as differs:
            raise CountDiffers(f"The filter fits {differs.found}.") from None
        return SweepResource(
            preview=body.preview,
            matching=swept.matching if swept else sum(one.count for one in counts),
            counts=tuple(counts),
            done=len(swept.done) if swept else 0,
            skipped=tuple(SkippedLetter(id=one, code=code) for one, code in swept.skipped.items()) if swept else (),
        )


class Deal(Protocol):
    def __call__(self, letter_id: str, kind: DeadLetterKind, act: Act) -> Awaitable[None]: ...


class Sweep(Protocol):
    def __call__(self, wanted: DeadLetterFilter, act: Act, *, expected: int | None, limit: int) -> Awaitable[Swept]: ...


def _kind_of(letter_id: str) -> DeadLetterKind:
    """Raises NotFound for what is the id of nothing that can fail."""
    bind_contextvars(dead_letter_id=letter_id)
    for is_one, kind in (
        (is_job_id, DeadLetterKind.JOB),
        (is_order_id, DeadLetterKind.ORDER),
        (is_mail_id, DeadLetterKind.MAIL),
        (is_endpoint_id, DeadLetterKind.WEBHOOK_ENDPOINT),
    ):
        if is_one(letter_id):
            return kind
    raise NotFound
