"""Webhook endpoints and their secrets, which leave this module in no object that somebody might print."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, case, delete, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.ids import new_endpoint_id, receiver_endpoint_id
from contracts.webhooks import DisabledReason, EndpointStatus, WebhookEndpoint
from database.audit import record
from database.paging import Position, newest_first
from database.tables import webhook_endpoints

# An event is told to all that want it at once, within the seconds that an outbox row has.
MAX_ENDPOINTS = 100
MAX_SECRETS = 5
OLD_SECRET_SIGNS_FOR = timedelta(hours=24)

_COLUMNS = [
    column for column in webhook_endpoints.c if column.name not in ("secrets", "failing_since", "last_failed_at")
]


class TooManyEndpoints(Exception):
    """This owner has as many endpoints as one may have."""


class EndpointRepository:
    """Keeps the endpoints."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(
        self,
        *,
        owner: str | None,
        url: str,
        event_types: Sequence[str],
        description: str | None,
        secret: str,
        act: Act | None = None,
    ) -> WebhookEndpoint:
        """Raises TooManyEndpoints. Here as below, an operator's `act` is entered in the audit log with it."""
        async with self._engine.begin() as connection:
            # One at a time for an owner, or the count would be of no use.
            await lock(connection, f"endpoints of {owner}")
            same_owner = webhook_endpoints.c.owner.is_not_distinct_from(literal(owner))
            count = await connection.scalar(select(func.count()).select_from(webhook_endpoints).where(same_owner))
            if (count or 0) >= MAX_ENDPOINTS:
                raise TooManyEndpoints
            row = await connection.execute(
                insert(webhook_endpoints)
                .values(
                    id=new_endpoint_id(),
                    owner=owner,
                    url=url,
                    event_types=list(event_types),
                    description=description,
                    status=EndpointStatus.ACTIVE,
                    secrets=[_lasting(secret)],
                )
                .returning(*_COLUMNS)
            )
            made = _endpoint(row.one())
            if act is not None:
                await record(connection, act, AuditAction.ENDPOINT_CREATE, made.id, after=_shown(made))
        return made

    async def find(self, endpoint_id: str) -> WebhookEndpoint | None:
        query = select(*_COLUMNS).where(webhook_endpoints.c.id == endpoint_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _endpoint(row) if row is not None else None

    async def list(
        self, *, owner: str | None, of_everybody: bool, after: Position | None, limit: int
    ) -> list[WebhookEndpoint]:
        """At most `limit` endpoints, newest first."""
        query = newest_first(select(*_COLUMNS), webhook_endpoints, after, limit)
        if not of_everybody:
            query = query.where(webhook_endpoints.c.owner == owner)
        async with self._engine.connect() as connection:
            return [_endpoint(row) for row in await connection.execute(query)]

    async def change(
        self, endpoint_id: str, changes: Mapping[str, Any], act: Act | None = None
    ) -> WebhookEndpoint | None:
        """Change url, event_types, description or status; None when the endpoint is gone.

        Made active, or with another URL, it begins afresh: earlier failures are forgotten.
        """
        values = dict(changes)
        if "url" in values:
            values["failing_since"] = case(
                (webhook_endpoints.c.url == values["url"], webhook_endpoints.c.failing_since), else_=None
            )
        match values.get("status"):
            case EndpointStatus.ACTIVE:
                values |= {"disabled_reason": None, "disabled_at": None, "failing_since": None}
            case EndpointStatus.DISABLED:
                # One that was disabled already keeps its reason.
                values["disabled_reason"] = func.coalesce(webhook_endpoints.c.disabled_reason, DisabledReason.OWNER)
        change = (
            update(webhook_endpoints)
            .where(webhook_endpoints.c.id == endpoint_id)
            .values(**values, updated_at=func.now())
            .returning(*_COLUMNS)
        )
        async with self._engine.begin() as connection:
            before = await _locked(connection, endpoint_id)
            if before is None:
                return None
            after = _endpoint((await connection.execute(change)).one())
            if act is not None:
                await record(
                    connection,
                    act,
                    AuditAction.ENDPOINT_CHANGE,
                    endpoint_id,
                    before=_shown(before),
                    after=_shown(after) | {"url_changed": before.url != after.url},
                )
        return after

    async def rotate(self, endpoint_id: str, secret: str, act: Act | None = None) -> WebhookEndpoint | None:
        """Sign with this secret from now on; those before it sign too for 24 hours. None when the endpoint is gone."""
        async with self._engine.begin() as connection:
            query = select(webhook_endpoints.c.secrets).where(webhook_endpoints.c.id == endpoint_id)
            known = await connection.scalar(query.with_for_update())
            if known is None:
                return None
            row = await connection.execute(
                update(webhook_endpoints)
                .where(webhook_endpoints.c.id == endpoint_id)
                .values(secrets=_rotated(known, secret, datetime.now(UTC)), updated_at=func.now())
                .returning(*_COLUMNS)
            )
            if act is not None:
                await record(connection, act, AuditAction.ENDPOINT_ROTATE_SECRET, endpoint_id)
            return _endpoint(row.one())

    async def delete(self, endpoint_id: str, act: Act | None = None) -> bool:
        """Delete an endpoint and its deliveries; False when it is gone."""
        async with self._engine.begin() as connection:
            statement = delete(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
            deleted = (await connection.execute(statement.returning(*_COLUMNS))).one_or_none()
            if deleted is not None and act is not None:
                before = _shown(_endpoint(deleted))
                await record(connection, act, AuditAction.ENDPOINT_DELETE, endpoint_id, before=before)
        return deleted is not None

    async def keep_receiver(self, name: str, *, url: str, event_types: Sequence[str], secret: str) -> None:
        """Have the system's own receiver of this name, with this URL and secret; what else it has stays."""
        wanted = insert(webhook_endpoints).values(
            id=receiver_endpoint_id(name),
            url=url,
            event_types=list(event_types),
            description=name,
            status=EndpointStatus.ACTIVE,
            secrets=[_lasting(secret)],
        )
        changed = or_(
            webhook_endpoints.c.url != wanted.excluded.url, webhook_endpoints.c.secrets != wanted.excluded.secrets
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                wanted.on_conflict_do_update(
                    index_elements=["id"],
                    set_={
                        "url": wanted.excluded.url,
                        "secrets": wanted.excluded.secrets,
                        "failing_since": None,
                        "updated_at": func.now(),
                    },
                    where=changed,
                )
            )


async def _locked(connection: AsyncConnection, endpoint_id: str) -> WebhookEndpoint | None:
    query = select(*_COLUMNS).where(webhook_endpoints.c.id == endpoint_id)
    # No stronger than an update's own lock, which lets deliveries be entered.
    query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    return _endpoint(row) if row is not None else None


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """As the audit log has it, for good: of the URL no more than where it is, since the rest may be a secret."""
    parts = urlsplit(endpoint.url)
    kept = endpoint.model_dump(mode="json", include={"owner", "event_types", "status", "disabled_reason"})
    return {**kept, "host": f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")}


async def lock(connection: AsyncConnection, name: str) -> None:
    """Hold a lock of this name until the transaction ends."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def _lasting(secret: str) -> dict[str, str | None]:
    return {"secret": secret, "expires_at": None}


def _rotated(known: Sequence[Mapping[str, str | None]], secret: str, now: datetime) -> list[dict[str, str | None]]:
    ends_at = (now + OLD_SECRET_SIGNS_FOR).isoformat()
    old = [{**entry, "expires_at": entry["expires_at"] or ends_at} for entry in known]
    return [_lasting(secret), *(entry for entry in old if is_valid(entry, now))][:MAX_SECRETS]


def is_valid(entry: Mapping[str, str | None], now: datetime) -> bool:
    """Whether an entry of the column `secrets` still signs."""
    ends_at = entry["expires_at"]
    return ends_at is None or datetime.fromisoformat(ends_at) > now


def _endpoint(row: Row[Any]) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate(row._mapping)
