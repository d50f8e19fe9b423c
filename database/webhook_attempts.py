"""The attempts of deliveries: what each sends, at most ten at a time for an endpoint, and what became of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.ids import is_account_id
from contracts.outbox import OutboxKind
from contracts.webhooks import Attempt, DeliveryStatus, DisabledReason, EndpointStatus
from database.outbox import put
from database.tables import webhook_deliveries as deliveries
from database.tables import webhook_endpoints as endpoints
from database.webhook_endpoints import is_valid, lock

IN_FLIGHT = 10
# Longer than an attempt takes; one that is lost with its worker keeps its place for so long.
CLAIM_FOR = timedelta(seconds=30)
DISABLED_AFTER = timedelta(days=5)
# Longer than any pause of a delivery: failures further apart say nothing about the time between them.
FAILURES_WITHIN = timedelta(hours=30)

_others = deliveries.alias("others")
# Claims are few: only those of attempts under way or lately lost are in the index that this reads.
_IN_FLIGHT = (
    select(func.count())
    .where(
        _others.c.endpoint_id == deliveries.c.endpoint_id,
        _others.c.claimed_until > func.now(),
        _others.c.id != deliveries.c.id,
    )
    .correlate(deliveries)
    .scalar_subquery()
)
_LOAD = select(
    deliveries,
    endpoints.c.url,
    endpoints.c.secrets,
    endpoints.c.status.label("endpoint_status"),
    _IN_FLIGHT.label("in_flight"),
).join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)


class EndpointBusy(Exception):
    """As many attempts as may be are under way to this endpoint."""

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(endpoint_id)
        self.endpoint_id = endpoint_id


@dataclass(frozen=True)
class Message:
    """What an attempt sends, where to, and signed with which secrets."""

    endpoint_id: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    webhook_id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Settled:
    """What became of the delivery without a further attempt."""

    status: DeliveryStatus
    response_status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Answered:
    """What an attempt at a URL brought: a response's status, or the reason why there was none.

    `retry_after_s` is the pause that the receiver asked for.
    """

    url: str = field(repr=False)
    succeeded: bool
    gone: bool
    response_status: int | None
    duration_ms: int
    error: str | None
    retry_after_s: float | None = None


class AttemptRepository:
    """Begins and records attempts; one that is repeated after it was recorded is not made again."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, attempt: Attempt) -> Message | Settled:
        """What to send now. Settled when there is nothing to send: it was sent, or may not be any more.

        Raises EndpointBusy, having written nothing.
        """
        async with self._engine.begin() as connection:
            row = (await connection.execute(_LOAD.where(deliveries.c.id == attempt.delivery_id))).one_or_none()
            if row is None:
                # Deleted, together with its endpoint.
                return Settled(DeliveryStatus.FAILED)
            if row.status != DeliveryStatus.PENDING or row.attempts >= attempt.number:
                return Settled(DeliveryStatus(row.status), row.response_status, row.retry_after_s)
            if row.endpoint_status != EndpointStatus.ACTIVE:
                await self._fail(connection, attempt.delivery_id, "the endpoint is disabled")
                return Settled(DeliveryStatus.FAILED)
            if row.in_flight >= IN_FLIGHT or not await self._claim(connection, row):
                raise EndpointBusy(row.endpoint_id)
        now = datetime.now(UTC)
        return Message(
            endpoint_id=row.endpoint_id,
            url=row.url,
            secrets=tuple(entry["secret"] for entry in row.secrets if is_valid(entry, now)),
            webhook_id=row.webhook_id,
            body=row.body.encode(),
        )

    async def record(self, attempt: Attempt, answered: Answered) -> DeliveryStatus:
        """Write down what an attempt brought, and what follows for its endpoint."""
        if answered.succeeded:
            status = DeliveryStatus.SUCCEEDED
        else:
            status = DeliveryStatus.FAILED if attempt.is_last or answered.gone else DeliveryStatus.PENDING
        # Held from being deleted, in the order in which a deletion locks: the endpoint, then its deliveries.
        held = (
            select(endpoints.c.id)
            .join(deliveries, deliveries.c.endpoint_id == endpoints.c.id)
            .where(deliveries.c.id == attempt.delivery_id)
            .with_for_update(read=True, key_share=True, of=endpoints)
            .cte("held")
        )
        async with self._engine.begin() as connection:
            endpoint_id = await connection.scalar(
                update(deliveries)
                .where(
                    deliveries.c.id == attempt.delivery_id,
                    deliveries.c.endpoint_id == held.c.id,
                    deliveries.c.attempts < attempt.number,
                )
                .values(
                    status=status,
                    attempts=attempt.number,
                    response_status=answered.response_status,
                    retry_after_s=answered.retry_after_s,
                    duration_ms=answered.duration_ms,
                    error=answered.error,
                    claimed_until=None,
                    updated_at=func.now(),
                )
                .returning(deliveries.c.endpoint_id)
            )
            if endpoint_id is None:
                return await self._known(connection, attempt.delivery_id)
            # What the URL of before has answered says nothing about the one of now.
            tried = (endpoints.c.id == endpoint_id, endpoints.c.url == answered.url)
            if answered.succeeded:
                await self._is_well(connection, *tried)
            elif answered.gone:
                await self._disable(connection, DisabledReason.GONE, *tried)
            else:
                await self._is_failing(connection, endpoint_id, *tried)
        return status

    async def give_up(self, delivery_id: str) -> DeliveryStatus:
        """Have a delivery fail that is still pending; returns what it is then."""
        async with self._engine.begin() as connection:
            await self._fail(connection, delivery_id, "cancelled")
            return await self._known(connection, delivery_id)

    async def _claim(self, connection: AsyncConnection, row: Row[Any]) -> bool:
        """Take one of the endpoint's places, if there is one left by now."""
        await lock(connection, row.endpoint_id)
        claimed = await connection.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id, _IN_FLIGHT < IN_FLIGHT)
            .values(claimed_until=func.now() + CLAIM_FOR)
        )
        return bool(claimed.rowcount)

    async def _known(self, connection: AsyncConnection, delivery_id: str) -> DeliveryStatus:
        known = await connection.scalar(select(deliveries.c.status).where(deliveries.c.id == delivery_id))
        return DeliveryStatus(known or DeliveryStatus.FAILED)

    async def _fail(self, connection: AsyncConnection, delivery_id: str, error: str) -> None:
        await connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id, deliveries.c.status == DeliveryStatus.PENDING)
            .values(status=DeliveryStatus.FAILED, error=error, claimed_until=None, updated_at=func.now())
        )

    async def _is_well(self, connection: AsyncConnection, *tried: ColumnElement[bool]) -> None:
        await connection.execute(
            update(endpoints).where(*tried, endpoints.c.failing_since.is_not(None)).values(failing_since=None)
        )

    async def _is_failing(self, connection: AsyncConnection, endpoint_id: str, *tried: ColumnElement[bool]) -> None:
        is_afresh = or_(endpoints.c.failing_since.is_(None), endpoints.c.last_failed_at < func.now() - FAILURES_WITHIN)
        await connection.execute(
            update(endpoints)
            .where(*tried)
            .values(
                failing_since=case((is_afresh, func.now()), else_=endpoints.c.failing_since),
                last_failed_at=func.now(),
            )
        )
        too_long = endpoints.c.failing_since <= func.now() - DISABLED_AFTER
        if await self._disable(connection, DisabledReason.FAILING, *tried, too_long):
            await _tell_owner(connection, endpoint_id)

    async def _disable(
        self, connection: AsyncConnection, reason: DisabledReason, *conditions: ColumnElement[bool]
    ) -> bool:
        disabled = await connection.execute(
            update(endpoints)
            .where(endpoints.c.status == EndpointStatus.ACTIVE, *conditions)
            .values(
                status=EndpointStatus.DISABLED, disabled_reason=reason, disabled_at=func.now(), updated_at=func.now()
            )
        )
        return bool(disabled.rowcount)


async def _tell_owner(connection: AsyncConnection, endpoint_id: str) -> None:
    """Have the owner of an endpoint that was disabled told by mail, if it has an account to be mailed at."""
    owner = await connection.scalar(select(endpoints.c.owner).where(endpoints.c.id == endpoint_id))
    if owner is not None and is_account_id(owner):
        await put(
            connection,
            aggregate=f"endpoint/{endpoint_id}",
            kind=OutboxKind.ENDPOINT_DISABLED,
            payload={"endpoint_id": endpoint_id, "account_id": owner},
        )
