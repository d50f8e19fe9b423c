"""The books of orders: one row each, changed only under its lock, with its timeline and steps in one transaction."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.books import Progress
from contracts.money import Money
from contracts.orders import EventType, Failure, OrderLine, OrderStatus, Phase, PlaceOrder, TimelineEntry
from contracts.steps import Outcome, Step, StepName
from contracts.webhooks import TOLD_OF_ORDERS, status_at
from database import inventory
from database.transaction import Connection, transaction

# A row of `order_steps` in the shape of `Step`.
STEP_AS_JSON = """
    json_build_object('name', step, 'key', key, 'begun_at', begun_at, 'outcome', outcome, 'reference', reference,
        'message', message)
"""

# Statements of a kind that every order needs are few and fixed: what is read or written together goes in one.
_ENTER = """
    INSERT INTO followthrough.orders
        (id, customer_id, status, phase, lines, total, currency, ship_to, request_hash, request_id, run_id,
         created_at, updated_at)
    VALUES
        ($1, $2, $3, 'forward', $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT DO NOTHING
"""
# The order's own row comes as it is under the lock. The rest comes as it was when the statement began, which is older
# when the lock was waited for; `seen_revision` tells.
_LOCK_AND_LOAD = f"""
    SELECT status, phase, CAST(lines AS text), CAST(failure AS text), final_status, updated_at, revision,
        (SELECT revision FROM followthrough.orders WHERE id = $1) AS seen_revision,
        (SELECT CAST(json_object_agg(key, entries ORDER BY sequence) AS text)
         FROM followthrough.order_events AS entries WHERE order_id = $1) AS entries,
        (SELECT CAST(json_agg({STEP_AS_JSON} ORDER BY begun_at, step) AS text)
         FROM followthrough.order_steps WHERE order_id = $1) AS steps
    FROM followthrough.orders AS locked WHERE id = $1
    FOR UPDATE OF locked
"""  # noqa: S608 - put together from constants
_WRITE = """
    WITH noted AS (
        INSERT INTO followthrough.order_events (order_id, sequence, key, type, at, detail)
        SELECT $1, sequence, key, type, at, detail
        FROM jsonb_each($2::jsonb) AS new (key, entry),
            jsonb_to_record(entry) AS entries (sequence int, type text, at timestamptz, detail text)
    ), stepped AS (
        INSERT INTO followthrough.order_steps (order_id, step, key, begun_at, outcome, reference, message)
        SELECT $1, name, key, begun_at, outcome, reference, message
        FROM jsonb_to_recordset($3::jsonb)
            AS step (name text, key text, begun_at timestamptz, outcome text, reference text, message text)
        ON CONFLICT (order_id, step) DO UPDATE SET
            key = excluded.key, begun_at = excluded.begun_at, outcome = excluded.outcome,
            reference = excluded.reference, message = excluded.message
    ), told AS (
        INSERT INTO followthrough.outbox (aggregate, kind, payload)
        SELECT 'events/' || orders.id, 'event', event || jsonb_build_object('id', orders.id, 'owner', customer_id)
        FROM followthrough.orders, jsonb_array_elements($10::jsonb) WITH ORDINALITY AS events (event, number)
        WHERE orders.id = $1 AND (starts_with(customer_id, 'acct_') OR EXISTS (
            SELECT FROM followthrough.webhook_endpoints
            WHERE webhook_endpoints.status = 'active' AND (owner = customer_id OR owner IS NULL)
        ))
        ORDER BY number
    )
    UPDATE followthrough.orders
    SET status = $4, phase = $5, failure = $6, final_status = $7,
        updated_at = $8, revision = revision + 1
    WHERE id = $1 AND $9
"""
_STEP = f"""
    SELECT CAST({STEP_AS_JSON} AS text) FROM followthrough.order_steps WHERE order_id = $1 AND step = $2
"""  # noqa: S608

# Asked for disputes alone, which are rare: an index would cost every order more.
_CHARGED_AS = """
    SELECT order_id FROM followthrough.order_steps WHERE step = 'charge' AND reference = $1
"""

_LINES = TypeAdapter(tuple[OrderLine, ...])
_ENTRIES = TypeAdapter(dict[str, TimelineEntry])
_STEPS = TypeAdapter(list[Step])
# What is told of an order by webhooks, but for its id and owner.
_TOLD = TypeAdapter(list[dict[str, Any]])


class OrderNotFound(LookupError):
    """Our books have no such order."""


class OpenOrder:
    """An order while its row is locked: what happened, and what this transaction adds to it.

    Changes are kept here and written together when the transaction commits.
    """

    def __init__(
        self,
        connection: Connection,
        order_id: str,
        *,
        status: OrderStatus,
        phase: Phase,
        lines: tuple[OrderLine, ...],
        failure: Failure | None = None,
        final_status: OrderStatus | None = None,
        updated_at: datetime,
        events: dict[str, TimelineEntry] | None = None,
        steps: Iterable[Step] = (),
        entered: bool = False,
    ) -> None:
        self.id = order_id
        self.status = status
        self.phase = phase
        self.lines = lines
        self.failure = failure
        self.final_status = final_status
        self.updated_at = updated_at
        self._connection = connection
        self._events = events or {}
        self._steps = {step.name: step for step in steps}
        self._new_events: list[str] = []
        self._told: list[dict[str, Any]] = []
        self._changed_steps: set[StepName] = set()
        self._just_entered = self._row if entered else None

    @property
    def _row(self) -> tuple[Any, ...]:
        failure = self.failure.model_dump_json() if self.failure else None
        return (self.status, self.phase, failure, self.final_status, self.updated_at)

    @property
    def total(self) -> Money:
        """What the order costs; its lines have one currency."""
        amount = sum(line.quantity * line.unit_price.amount for line in self.lines)
        return Money(amount=amount, currency=self.lines[0].unit_price.currency)

    def has(self, event: EventType | str) -> bool:
        """Whether this event is in the timeline already: its booking was done before."""
        return str(event) in self._events

    def note(self, event: EventType, at: datetime, detail: str, *, key: str | None = None) -> None:
        """Add to the timeline. `key` tells apart events that may happen more than once.

        The row's lock decides the order of events that race (a cancel with the end of a call, say), not the clocks
        that their attempts read before they waited for it: the time of an entry is never before its predecessor's.
        """
        key = key or event.value
        at = max([at, *(entry.at for entry in self._events.values())])
        self._events[key] = TimelineEntry(sequence=len(self._events) + 1, at=at, type=event, detail=detail)
        self._new_events.append(key)
        if event in TOLD_OF_ORDERS:
            status = status_at(event, self.status)
            self._told.append({"type": TOLD_OF_ORDERS[event], "status": status, "at": at})
        self.updated_at = at

    def close(self, status: OrderStatus, at: datetime, detail: str) -> None:
        """Give the order its final status; the event of the same name is the last of its timeline."""
        self.phase = Phase.CLOSED
        self.status = status
        self.note(EventType(status.value), at, detail)

    def step(self, name: StepName) -> Step:
        """An announced step. Raises KeyError for one that was never announced."""
        return self._steps[name]

    @property
    def steps(self) -> Iterable[Step]:
        return self._steps.values()

    def announce(self, name: StepName, at: datetime) -> None:
        """Write down that this call is about to be made, under which key. Announcing twice changes nothing."""
        if name not in self._steps:
            self._change(Step(name=name, key=f"{self.id}:{name}:1", begun_at=at))

    def announce_again(self, spent: Step, at: datetime) -> None:
        """Give a call a new key, once it is known that it had no effect under the `spent` one."""
        *name, turn = spent.key.split(":")
        if self._steps[spent.name].key == spent.key:
            self._change(Step(name=spent.name, key=":".join((*name, str(int(turn) + 1))), begun_at=at))

    def settle(self, name: StepName, outcome: Outcome) -> None:
        """Write down what became of an announced call."""
        self._change(self._steps[name].model_copy(update=dict(outcome)))

    def _change(self, step: Step) -> None:
        self._steps[step.name] = step
        self._changed_steps.add(step.name)

    async def reserve_stock(self) -> list[str]:
        """The SKUs that are short; stock is set aside when there are none."""
        return await inventory.reserve(self._connection, self.id, self.lines)

    async def release_stock(self) -> bool:
        return await inventory.release(self._connection, self.id)

    async def ship_stock(self) -> bool:
        return await inventory.ship(self._connection, self.id)

    def progress(self, known: int) -> Progress:
        return Progress(
            status=self.status,
            phase=self.phase,
            failure=self.failure,
            steps=tuple(self._steps.values()),
            entries=tuple(entry for entry in self._events.values() if entry.sequence > known),
            updated_at=self.updated_at,
        )

    async def write(self) -> None:
        """Send what changed to Postgres."""
        if not (self._new_events or self._changed_steps):
            return
        row = self._row
        await self._connection.execute(
            _WRITE,
            self.id,
            _ENTRIES.dump_json({key: self._events[key] for key in self._new_events}).decode(),
            _STEPS.dump_json([self._steps[name] for name in sorted(self._changed_steps)]).decode(),
            *row,
            # An order is mostly entered as its first booking leaves it.
            row != self._just_entered,
            _TOLD.dump_json(self._told).decode(),
        )


class Books:
    """Opens orders for change."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def placed(
        self, order: PlaceOrder, status: OrderStatus, at: datetime, run_id: str
    ) -> AsyncIterator[OpenOrder]:
        """Open an order, entering it in the books with this status when this is the first that they hear of it."""
        async with transaction(self._engine) as connection:
            entered = await connection.execute(
                _ENTER,
                order.order_id,
                order.customer_id,
                status,
                _LINES.dump_json(order.lines).decode(),
                order.total.amount,
                order.total.currency,
                order.ship_to.model_dump_json(),
                order.request_hash,
                order.request_id,
                run_id,
                order.accepted_at,
                at,
            )
            if entered == "INSERT 0 0":
                opened = await self._open(connection, order.order_id)
            else:
                opened = OpenOrder(
                    connection,
                    order.order_id,
                    status=status,
                    phase=Phase.FORWARD,
                    lines=order.lines,
                    updated_at=at,
                    entered=True,
                )
            yield opened
            await opened.write()

    @asynccontextmanager
    async def order(self, order_id: str) -> AsyncIterator[OpenOrder]:
        """Open an order for change. Raises OrderNotFound."""
        async with transaction(self._engine) as connection:
            opened = await self._open(connection, order_id)
            yield opened
            await opened.write()

    async def step(self, order_id: str, name: StepName) -> Step:
        """An announced step as it stands, without the order's lock. Raises OrderNotFound for one never announced."""
        async with transaction(self._engine) as connection:
            step = await connection.fetchval(_STEP, order_id, name)
        if step is None:
            raise OrderNotFound(order_id)
        return Step.model_validate_json(step)

    async def order_charged_as(self, charge_id: str) -> str | None:
        """The id of the order that this charge paid, by the provider's id; None when our books have no such charge."""
        async with transaction(self._engine) as connection:
            order_id: str | None = await connection.fetchval(_CHARGED_AS, charge_id)
        return order_id

    async def _open(self, connection: Connection, order_id: str) -> OpenOrder:
        row = await connection.fetchrow(_LOCK_AND_LOAD, order_id)
        if row is not None and row["seen_revision"] != row["revision"]:
            # Now the lock is ours: nothing changes any more, and the same statement sees all.
            row = await connection.fetchrow(_LOCK_AND_LOAD, order_id)
        if row is None:
            raise OrderNotFound(order_id)
        return OpenOrder(
            connection,
            order_id,
            status=OrderStatus(row["status"]),
            phase=Phase(row["phase"]),
            lines=_LINES.validate_json(row["lines"]),
            failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
            final_status=OrderStatus(row["final_status"]) if row["final_status"] else None,
            updated_at=row["updated_at"],
            events=_ENTRIES.validate_json(row["entries"] or "{}"),
            steps=_STEPS.validate_json(row["steps"] or "[]"),
        )
