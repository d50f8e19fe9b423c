"""The books of orders: one row each, changed only under its lock, with its timeline and steps in one transaction."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.failures import Failure
from contracts.fulfilments import Fulfilment, OrderLine
from contracts.orders import Address, OrderStatus, Phase, PlaceOrder, TimelineEntry
from contracts.steps import Step, StepName
from database import inventory
from database.inventory import Available
from database.open_order import OpenOrder
from database.spendings import CHECKS_FRAUD
from database.transaction import Connection, transaction

# A row of `order_steps` in the shape of `Step`.
STEP_AS_JSON = """
    json_build_object('name', step, 'fulfilment', fulfilment, 'key', key, 'begun_at', begun_at, 'outcome', outcome,
        'reference', reference, 'message', message)
"""

# Statements of a kind that every order needs are few and fixed: what is read or written together goes in one.
#
# The order's own row comes as it is under the lock. The rest comes as it was when the statement began, which is older
# when the lock was waited for; `seen_revision` tells.
_LOCK_AND_LOAD = f"""
    SELECT customer_id, status, phase, CAST(lines AS text), CAST(removed_lines AS text), CAST(ship_to AS text),
        CAST(fulfilments AS text), CAST(failure AS text), final_status, updated_at, revision,
        {CHECKS_FRAUD} AS checks_fraud,
        (SELECT revision FROM followthrough.orders WHERE id = $1) AS seen_revision,
        (SELECT CAST(json_object_agg(key, entries ORDER BY sequence) AS text)
         FROM followthrough.order_events AS entries WHERE order_id = $1) AS entries,
        (SELECT CAST(json_agg({STEP_AS_JSON} ORDER BY begun_at, fulfilment, step) AS text)
         FROM followthrough.order_steps WHERE order_id = $1) AS steps
    FROM followthrough.orders AS locked WHERE id = $1
    FOR UPDATE OF locked
"""  # noqa: S608 - put together from constants
_ADD = """
    WITH noted AS (
        INSERT INTO followthrough.order_events (order_id, sequence, key, type, at, detail)
        SELECT $1, sequence, key, type, at, detail
        FROM jsonb_each($3::jsonb) AS new (key, entry),
            jsonb_to_record(entry) AS entries (sequence int, type text, at timestamptz, detail text)
    ), stepped AS (
        INSERT INTO followthrough.order_steps (order_id, step, fulfilment, key, begun_at, outcome, reference, message)
        SELECT $1, name, fulfilment, key, begun_at, outcome, reference, message
        FROM jsonb_to_recordset($4::jsonb) AS step (name text, fulfilment smallint, key text, begun_at timestamptz,
            outcome text, reference text, message text)
        ON CONFLICT (order_id, fulfilment, step) DO UPDATE SET
            key = excluded.key, begun_at = excluded.begun_at, outcome = excluded.outcome,
            reference = excluded.reference, message = excluded.message
    ), told AS (
        INSERT INTO followthrough.outbox (aggregate, kind, payload)
        SELECT 'events/' || $1, 'event', event || jsonb_build_object('owner', $2::text)
        FROM jsonb_array_elements($5::jsonb) WITH ORDINALITY AS events (event, number)
        WHERE starts_with($2, 'acct_') OR EXISTS (
            SELECT FROM followthrough.webhook_endpoints
            WHERE webhook_endpoints.status = 'active' AND (owner = $2 OR owner IS NULL)
        )
        ORDER BY number
    )
"""
_ENTER = f"""
    {_ADD}
    INSERT INTO followthrough.orders
        (id, customer_id, status, phase, failure, final_status, updated_at, fulfilments, lines, total, ship_to,
         currency, request_hash, request_id, run_id, created_at, rules, revision)
    VALUES ($1, $2, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, 1)
"""  # noqa: S608
_WRITE = f"""
    {_ADD}
    UPDATE followthrough.orders
    SET status = $6, phase = $7, failure = $8, final_status = $9, updated_at = $10, fulfilments = $11,
        revision = revision + 1
    WHERE id = $1
"""  # noqa: S608
# What few orders change: the customer amends them, or has them sent elsewhere.
_REWRITE = """
    UPDATE followthrough.orders SET lines = $2, removed_lines = $3, total = $4, ship_to = $5 WHERE id = $1
"""
_STEP = f"""
    SELECT CAST({STEP_AS_JSON} AS text) FROM followthrough.order_steps
    WHERE order_id = $1 AND step = $2 AND fulfilment = $3
"""  # noqa: S608

# Asked for disputes alone, which are rare: an index would cost every order more.
_CHARGED_AS = """
    SELECT order_id FROM followthrough.order_steps WHERE step = 'charge' AND reference = $1
"""

_LINES = TypeAdapter(tuple[OrderLine, ...])
_FULFILMENTS = TypeAdapter(tuple[Fulfilment, ...])
_ENTRIES = TypeAdapter(dict[str, TimelineEntry])
_STEPS = TypeAdapter(list[Step])
# What is told of an order by webhooks, but for its id and owner.
_TOLD = TypeAdapter(list[dict[str, Any]])


class OrderNotFound(LookupError):
    """Our books have no such order."""


def _say_nothing(_: OpenOrder) -> None:
    """Nobody wants to know."""


class Books:
    """Opens orders for change. What is changed is written when the context ends without an error.

    `committed` is told of each order after its transaction, with what that has added.
    """

    def __init__(self, engine: AsyncEngine, committed: Callable[[OpenOrder], None] = _say_nothing) -> None:
        self._engine = engine
        self._committed = committed

    @asynccontextmanager
    async def placed(
        self, order: PlaceOrder, at: datetime, run_id: str
    ) -> AsyncIterator[tuple[OpenOrder, Available | None]]:
        """Open an order, entering it when this is the first that our books hear of it.

        Then its timeline is empty, and what there is of its stock comes along, locked: what its fulfilments are to send
        is set aside at the end. Otherwise None comes along. Of two that enter the same order at once one fails, and
        finds the order the next time.
        """
        entered = None
        async with transaction(self._engine) as connection:
            stock = await inventory.lock(connection, order.order_id, [line.sku for line in order.lines])
            if not stock.order_is_entered:
                entered = OpenOrder(
                    connection,
                    id=order.order_id,
                    customer_id=order.customer_id,
                    status=OrderStatus.PROCESSING,
                    phase=Phase.FORWARD,
                    lines=order.lines,
                    ship_to=order.ship_to,
                    updated_at=at,
                    checks_fraud=stock.checks_fraud,
                )
                yield entered, stock.available
                await self.enter(entered, order, run_id)
        if entered is not None:
            self._committed(entered)
            return
        # In a transaction of its own: whoever has an order's lock may wait for stock, never the other way round.
        async with self.order(order.order_id) as opened:
            yield opened, None

    @asynccontextmanager
    async def order(self, order_id: str) -> AsyncIterator[OpenOrder]:
        """Open an order for change. Raises OrderNotFound."""
        async with transaction(self._engine) as connection:
            opened = await self._open(connection, order_id)
            yield opened
            await self.write(opened)
        self._committed(opened)

    async def step(self, order_id: str, name: StepName, fulfilment: int) -> Step:
        """An announced step as it stands, without the order's lock. Raises OrderNotFound for one never announced."""
        async with transaction(self._engine) as connection:
            step = await connection.fetchval(_STEP, order_id, name, fulfilment)
        if step is None:
            raise OrderNotFound(order_id)
        return Step.model_validate_json(step)

    async def order_charged_as(self, charge_id: str) -> str | None:
        """The id of the order that this charge paid, by the provider's id; None when our books have no such charge."""
        async with transaction(self._engine) as connection:
            order_id: str | None = await connection.fetchval(_CHARGED_AS, charge_id)
        return order_id

    async def enter(self, entered: OpenOrder, order: PlaceOrder, run_id: str) -> None:
        """Send a new order to Postgres, within its transaction, and set its stock aside."""
        await entered.connection.execute(
            _ENTER,
            *_row(entered),
            _LINES.dump_json(order.lines).decode(),
            order.total.amount,
            order.ship_to.model_dump_json(),
            order.total.currency,
            order.request_hash,
            order.request_id,
            run_id,
            order.accepted_at,
            order.rules.model_dump_json(),
        )
        await inventory.reserve(entered.connection, order.order_id, entered.fulfilments)

    async def write(self, opened: OpenOrder) -> None:
        """Send what was changed to Postgres, within the transaction that the order is open in."""
        if opened.added:
            await opened.connection.execute(_WRITE, *_row(opened))
        if opened.is_rewritten:
            await opened.connection.execute(
                _REWRITE,
                opened.id,
                _LINES.dump_json(opened.lines).decode(),
                _LINES.dump_json(opened.removed_lines).decode(),
                opened.total.amount,
                opened.ship_to.model_dump_json(),
            )

    async def _open(self, connection: Connection, order_id: str) -> OpenOrder:
        row = await connection.fetchrow(_LOCK_AND_LOAD, order_id)
        if row is not None and row["seen_revision"] != row["revision"]:
            # Now the lock is ours: nothing changes any more, and the same statement sees all.
            row = await connection.fetchrow(_LOCK_AND_LOAD, order_id)
        if row is None:
            raise OrderNotFound(order_id)
        steps = _STEPS.validate_json(row["steps"] or "[]")
        return OpenOrder(
            connection,
            id=order_id,
            customer_id=row["customer_id"],
            status=OrderStatus(row["status"]),
            phase=Phase(row["phase"]),
            lines=_LINES.validate_json(row["lines"]),
            removed_lines=_LINES.validate_json(row["removed_lines"]),
            ship_to=Address.model_validate_json(row["ship_to"]),
            fulfilments=_FULFILMENTS.validate_json(row["fulfilments"]),
            failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
            final_status=OrderStatus(row["final_status"]) if row["final_status"] else None,
            updated_at=row["updated_at"],
            revision=row["revision"],
            checks_fraud=row["checks_fraud"],
            events=_ENTRIES.validate_json(row["entries"] or "{}"),
            steps_by_id={(step.name, step.fulfilment): step for step in steps},
        )


def _row(order: OpenOrder) -> tuple[Any, ...]:
    """The parameters $1 to $11, which entering and writing share."""
    added = order.added
    return (
        order.id,
        order.customer_id,
        _ENTRIES.dump_json({key: order.events[key] for key in added.events}).decode(),
        _STEPS.dump_json([order.steps_by_id[step] for step in sorted(added.steps)]).decode(),
        _TOLD.dump_json(added.told).decode(),
        order.status,
        order.phase,
        order.failure.model_dump_json() if order.failure else None,
        order.final_status,
        order.updated_at,
        _FULFILMENTS.dump_json(order.fulfilments).decode(),
    )
