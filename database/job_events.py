"""What webhooks tell of jobs: each change that ends one leaves an event in the outbox, by the same statement."""

from typing import Any

from sqlalchemy import (
    Select,
    Text,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.sql.dml import ReturningUpdate

from contracts.outbox import OutboxKind
from contracts.webhooks import EVERYTHING, JOB_FAMILY, EndpointStatus
from database.tables import outbox, webhook_endpoints


def told(change: ReturningUpdate[Any]) -> Select[Any]:
    """The statement that makes this change of jobs, returns the same, and has webhooks tell of those that it ends.

    Where nobody listens there is nothing to tell.
    """
    changed = change.cte("changed")
    event_type = literal("job.") + changed.c.status
    wanted_by = cast(array([event_type, literal(JOB_FAMILY), literal(EVERYTHING)]), ARRAY(Text))
    somebody_listens = (
        select(webhook_endpoints.c.id)
        .where(
            webhook_endpoints.c.status == EndpointStatus.ACTIVE,
            or_(webhook_endpoints.c.owner.is_(None), webhook_endpoints.c.owner == changed.c.subject),
            webhook_endpoints.c.event_types.overlap(wanted_by),
        )
        .exists()
    )
    payload = func.jsonb_build_object(
        *("type", event_type, "id", changed.c.id, "status", changed.c.status),
        *("at", changed.c.finished_at, "owner", changed.c.subject),
    )
    events = select(
        literal("events/") + changed.c.id, literal(OutboxKind.EVENT.value), type_coerce(payload, outbox.c.payload.type)
    ).where(changed.c.finished_at.is_not(None), somebody_listens)
    tell = insert(outbox).from_select(["aggregate", "kind", "payload"], events).cte("told")
    return select(changed).add_cte(tell)
