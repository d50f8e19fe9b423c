"""What the providers really did, on disk: one row per effect, and a log of every request.

One connection, written from the event loop alone. A transaction is committed (and on disk: `synchronous=FULL`)
before the answer leaves, so whatever a client was told survives a kill.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.calls import Answer, Call
from sandbox.mails import Mail

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment_intents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT, order_id TEXT, amount INTEGER NOT NULL,
    status TEXT NOT NULL, object TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS payment_intents_of_order ON payment_intents (order_id);
CREATE TABLE IF NOT EXISTS refunds (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT, order_id TEXT, payment_intent TEXT NOT NULL,
    amount INTEGER NOT NULL, status TEXT NOT NULL, object TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_of_payment_intent ON refunds (payment_intent);
CREATE INDEX IF NOT EXISTS refunds_of_order ON refunds (order_id);
CREATE TABLE IF NOT EXISTS payment_answers (
    key TEXT PRIMARY KEY, path TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shipments (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
    order_id TEXT NOT NULL, status TEXT NOT NULL, tracking_number TEXT NOT NULL, parcels TEXT NOT NULL,
    created_at TEXT NOT NULL, reference TEXT, dispatched_at TEXT, delivered_at TEXT);
CREATE INDEX IF NOT EXISTS shipments_of_order ON shipments (order_id);
CREATE TABLE IF NOT EXISTS tracking (
    number INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, shipment_id TEXT NOT NULL, order_id TEXT NOT NULL,
    step TEXT NOT NULL, occurred_at TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0, answer INTEGER);
CREATE INDEX IF NOT EXISTS tracking_of_shipment ON tracking (shipment_id);
CREATE TABLE IF NOT EXISTS emails (
    number INTEGER PRIMARY KEY, message_id TEXT, "to" TEXT NOT NULL, "from" TEXT NOT NULL, subject TEXT NOT NULL,
    headers TEXT NOT NULL, text TEXT, html TEXT, received_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS emails_of_recipient ON emails ("to");
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, provider TEXT NOT NULL, operation TEXT NOT NULL, order_id TEXT,
    key TEXT, fault TEXT, status INTEGER, replayed INTEGER NOT NULL, "to" TEXT);
CREATE INDEX IF NOT EXISTS requests_of_order ON requests (order_id);
"""

_CHARGES = "SELECT key, order_id, amount, status FROM payment_intents WHERE status = 'succeeded'"
_REFUNDS = "SELECT key, order_id, amount, status FROM refunds WHERE true"
_SHIPMENTS = "SELECT key, order_id, status FROM shipments WHERE status <> 'refused'"
_REQUESTS = (
    'SELECT at, provider, operation, order_id, "to", key, fault, status, replayed FROM requests '
    "WHERE provider = coalesce(:provider, provider) AND operation = coalesce(:operation, operation) "
    'AND (:to IS NULL OR "to" = :to)'
)
_EMAILS = 'SELECT message_id, "to", subject FROM emails'
_MESSAGES = (
    'SELECT message_id, "to", "from", subject, text, html, received_at FROM emails WHERE (:to IS NULL OR "to" = :to)'
)
_NEWEST_EMAILS = 'SELECT * FROM emails WHERE (:to IS NULL OR "to" = :to) ORDER BY number DESC LIMIT :limit'
_SHIPMENT = (
    "SELECT id, key, fingerprint, order_id, reference, status, tracking_number, parcels, created_at, dispatched_at, "
    "delivered_at FROM shipments WHERE "
)
_TRACKING = "SELECT event_id, shipment_id, order_id, step, occurred_at, sent, answer FROM tracking WHERE true"
_OF_ORDER = " AND order_id = :order_id"
_IN_ORDER_OF_ARRIVAL = " ORDER BY number"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a payment idempotency key was first used for, and what came of it."""

    path: str
    fingerprint: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Shipment:
    """A shipment the carrier booked, dispatched, delivered, cancelled or, under this key, refused."""

    id: str
    key: str
    fingerprint: str
    order_id: str
    reference: str | None
    status: str
    tracking_number: str
    parcels: str
    created_at: str
    dispatched_at: str | None = None
    delivered_at: str | None = None

    @property
    def names(self) -> set[str | None]:
        """What a client may call it by."""
        return {self.id, self.order_id, self.reference}


class Ledger:
    """The sandbox's own books."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._add_what_older_ledgers_lack()

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; on disk when the block is left. Nothing may be awaited inside."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def log(self, call: Call, status: int | None) -> None:
        """Note a request; `status` is None when it was met with silence."""
        self._database.execute(
            'INSERT INTO requests (at, provider, operation, order_id, "to", key, fault, replayed, status) '
            "VALUES (:at, :provider, :operation, :order_id, :to, :key, :fault, :replayed, :status)",
            {**asdict(call), "status": status},
        )

    def requests(
        self, order_id: str | None, provider: str | None, operation: str | None, to: str | None
    ) -> list[dict[str, object]]:
        """The request log, oldest first, narrowed by what is given."""
        rows = self._of_order(_REQUESTS, order_id, provider=provider, operation=operation, to=to)
        return [{**row, "replayed": bool(row["replayed"])} for row in rows]

    def effects(self, order_id: str | None) -> dict[str, list[dict[str, Any]]]:
        """One row per effect, oldest first, never per request; what was refused had no effect.

        A mail belongs to no order, so those of an order are none.
        """
        return {
            "charges": self._of_order(_CHARGES, order_id),
            "refunds": self._of_order(_REFUNDS, order_id),
            "shipments": self._of_order(_SHIPMENTS, order_id),
            "emails": self._rows(_EMAILS + _IN_ORDER_OF_ARRIVAL) if order_id is None else [],
        }

    def _of_order(self, query: str, order_id: str | None, **filters: str | None) -> list[dict[str, Any]]:
        narrowed = query if order_id is None else query + _OF_ORDER
        return self._rows(narrowed + _IN_ORDER_OF_ARRIVAL, order_id=order_id, **filters)

    def _rows(self, query: str, **parameters: str | int | None) -> list[dict[str, Any]]:
        return [dict(row) for row in self._database.execute(query, parameters)]

    def _add_what_older_ledgers_lack(self) -> None:
        for table, name in (
            ("requests", "to"),
            *(("shipments", name) for name in ("reference", "dispatched_at", "delivered_at")),
        ):
            if not any(column["name"] == name for column in self._rows(f"PRAGMA table_info({table})")):
                self._database.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" TEXT')

    def payment_answer(self, key: str) -> StoredAnswer | None:
        row = self._database.execute(
            "SELECT path, fingerprint, status, body FROM payment_answers WHERE key = ?", (key,)
        ).fetchone()
        return row and StoredAnswer(row["path"], row["fingerprint"], Answer(row["status"], row["body"]))

    def keep_payment_answer(self, key: str, stored: StoredAnswer) -> None:
        self._database.execute(
            "INSERT INTO payment_answers VALUES (?, ?, ?, ?, ?)",
            (key, stored.path, stored.fingerprint, stored.answer.status, stored.answer.body),
        )

    def add_payment_intent(self, intent: Mapping[str, Any], key: str | None, order_id: str | None) -> None:
        """Keep a PaymentIntent as Stripe would show it; only one that succeeded took money."""
        self._database.execute(
            "INSERT INTO payment_intents (id, key, order_id, amount, status, object) VALUES (?, ?, ?, ?, ?, ?)",
            (intent["id"], key, order_id, intent["amount"], intent["status"], json.dumps(intent)),
        )

    def payment_intent(self, intent_id: str) -> dict[str, Any] | None:
        row = self._database.execute("SELECT object FROM payment_intents WHERE id = ?", (intent_id,)).fetchone()
        return _read(row["object"]) if row else None

    def payment_intents(self, order_id: str | None) -> list[dict[str, Any]]:
        """Newest first, as Stripe lists them; of every order when none is given."""
        rows = self._database.execute(
            "SELECT object FROM payment_intents ORDER BY number DESC"
            if order_id is None
            else "SELECT object FROM payment_intents WHERE order_id = :order_id ORDER BY number DESC",
            {"order_id": order_id},
        )
        return [_read(row["object"]) for row in rows]

    def created(
        self, table: Literal["payment_intents", "refunds"], since: int, until: int, *, behind: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """At most `limit` of those created in this time (seconds since the epoch), newest first, older than one."""
        rows = self._database.execute(
            f"SELECT object FROM {table} WHERE json_extract(object, '$.created') >= :since "  # noqa: S608
            "AND json_extract(object, '$.created') < :until "
            f"AND (:behind IS NULL OR number < (SELECT number FROM {table} WHERE id = :behind)) "
            "ORDER BY number DESC LIMIT :limit",
            {"since": since, "until": until, "behind": behind, "limit": limit},
        )
        return [_read(row["object"]) for row in rows]

    def add_refund(self, refund: Mapping[str, Any], key: str | None, order_id: str | None) -> None:
        self._database.execute(
            "INSERT INTO refunds (id, key, order_id, payment_intent, amount, status, object) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                refund["id"],
                key,
                order_id,
                refund["payment_intent"],
                refund["amount"],
                refund["status"],
                json.dumps(refund),
            ),
        )

    def refunds(self, intent_id: str) -> list[dict[str, Any]]:
        """The refunds of a PaymentIntent, newest first."""
        rows = self._database.execute(
            "SELECT object FROM refunds WHERE payment_intent = ? ORDER BY number DESC", (intent_id,)
        )
        return [_read(row["object"]) for row in rows]

    def add_shipment(self, shipment: Shipment) -> None:
        self._database.execute(
            "INSERT INTO shipments (id, key, fingerprint, order_id, reference, status, tracking_number, parcels, "
            "created_at) VALUES (:id, :key, :fingerprint, :order_id, :reference, :status, :tracking_number, :parcels, "
            ":created_at)",
            asdict(shipment),
        )

    def move_shipment(self, shipment: Shipment) -> None:
        """Keep how far a shipment is by now."""
        self._database.execute(
            "UPDATE shipments SET status = :status, dispatched_at = :dispatched_at, delivered_at = :delivered_at "
            "WHERE id = :id",
            asdict(shipment),
        )

    def add_tracking(self, shipment: Shipment, step: str, occurred_at: str) -> str:
        """Keep a step that is to be told, and return the id of its event: stable, and of no other."""
        told = len(self._rows("SELECT 1 FROM tracking WHERE shipment_id = :id", id=shipment.id))
        event_id = f"evt_{shipment.id}_{told + 1}"
        self._database.execute(
            "INSERT INTO tracking (event_id, shipment_id, order_id, step, occurred_at) VALUES (?, ?, ?, ?, ?)",
            (event_id, shipment.id, shipment.order_id, step, occurred_at),
        )
        return event_id

    def note_answer(self, event_id: str, status: int | None) -> None:
        """Note a webhook that was sent; `status` is None when it was met with silence."""
        self._database.execute("UPDATE tracking SET sent = sent + 1, answer = ? WHERE event_id = ?", (status, event_id))

    def tracking(self, order_id: str | None) -> list[dict[str, Any]]:
        """The steps that were played, oldest first; `answer` is the last one to its webhook, `sent` counts them."""
        return self._of_order(_TRACKING, order_id)

    def cancel_shipment(self, shipment_id: str) -> None:
        self._database.execute("UPDATE shipments SET status = 'cancelled' WHERE id = ?", (shipment_id,))

    def shipment(self, shipment_id: str) -> Shipment | None:
        """One that the carrier accepted; a refusal has no id a client could know."""
        row = self._database.execute(_SHIPMENT + "id = ? AND status <> 'refused'", (shipment_id,)).fetchone()
        return row and Shipment(**row)

    def shipment_under(self, key: str) -> Shipment | None:
        row = self._database.execute(_SHIPMENT + "key = ?", (key,)).fetchone()
        return row and Shipment(**row)

    def shipments(self, order_id: str) -> list[Shipment]:
        rows = self._database.execute(_SHIPMENT + "order_id = ? AND status <> 'refused' ORDER BY number", (order_id,))
        return [Shipment(**row) for row in rows]

    def shipments_called(self, name: str) -> list[Shipment]:
        """Those of an order, or the one of this id or reference."""
        rows = self._database.execute(
            _SHIPMENT + ":name IN (order_id, id, reference) AND status <> 'refused' ORDER BY number", {"name": name}
        )
        return [Shipment(**row) for row in rows]

    def add_email(self, mail: Mail, to: str, received_at: str) -> None:
        """Keep one delivery to one recipient; a mail that is sent again is a row again."""
        self._database.execute(
            'INSERT INTO emails (message_id, "to", "from", subject, headers, text, html, received_at) '
            "VALUES (:message_id, :to, :sender, :subject, :headers, :text, :html, :received_at)",
            {**asdict(mail), "to": to, "received_at": received_at},
        )

    def has_email(self, message_id: str | None, to: str) -> bool:
        """Whether this very mail has reached this recipient before."""
        query = 'SELECT 1 FROM emails WHERE "to" = :to AND message_id = :message_id LIMIT 1'
        return bool(self._rows(query, to=to, message_id=message_id))

    def messages(self, to: str | None) -> list[dict[str, Any]]:
        """Every mail that was delivered, or those to one recipient, newest last."""
        return self._rows(_MESSAGES + _IN_ORDER_OF_ARRIVAL, to=to)

    def newest_emails(self, to: str | None, limit: int) -> list[dict[str, Any]]:
        """The last ones to arrive, newest first, with their headers."""
        return self._rows(_NEWEST_EMAILS, to=to, limit=limit)


def _read(text: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(text)
    return stored
