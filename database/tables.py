"""The tables of schema `followthrough`. Queries are in the repositories beside this file, and nowhere else."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "followthrough"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    },
)

INSTANT = DateTime(timezone=True)

catalogue_items = Table(
    "catalogue_items",
    metadata,
    Column("sku", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    CheckConstraint("amount > 0", name="amount"),
)

# One row, which is always there, and counts the changes of names and prices.
catalogue_version = Table(
    "catalogue_version",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=true()),
    Column("version", BigInteger, nullable=False, server_default="1"),
    CheckConstraint("single", name="single"),
)

warehouses = Table(
    "warehouses",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
)

stock = Table(
    "stock",
    metadata,
    Column("sku", ForeignKey("catalogue_items.sku"), primary_key=True),
    Column("warehouse", ForeignKey("warehouses.id"), primary_key=True),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("reserved >= 0", name="reserved"),
    CheckConstraint("on_hand >= reserved", name="on_hand"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("removed_lines", JSONB, nullable=False, server_default="[]", comment="by the customer"),
    Column("fulfilments", JSONB, nullable=False, server_default="[]"),
    Column("total", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("ship_to", JSONB, nullable=False),
    Column("failure", JSONB(none_as_null=True)),
    Column("final_status", String(32), comment="what an order being undone will end as"),
    Column("revision", Integer, nullable=False, server_default="0", comment="counts the bookings"),
    Column("request_hash", String(64), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("run_id", Text, nullable=False, comment="of the order's workflow"),
    Column("rules", JSONB(none_as_null=True), comment="that it was accepted under; null: not kept"),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Index(None, "customer_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at", "id"),
    Index("orders_closed_idx", "updated_at", "id", postgresql_where=text("phase = 'closed'")),
)

# Kept by a trigger of `orders`, whose `lines` say the same.
order_skus = Table(
    "order_skus",
    metadata,
    Column("order_id", String(30), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("created_at", INSTANT, nullable=False, comment="of the order"),
    Index(None, "sku", "created_at", "order_id"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("key", Text, nullable=False, comment="of this event alone, within its order"),
    Column("type", String(32), nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("detail", Text, nullable=False),
)

order_steps = Table(
    "order_steps",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("fulfilment", SmallInteger, primary_key=True, server_default="1", comment="its number; 0: the whole order"),
    Column("step", String(32), primary_key=True),
    Column("key", Text, nullable=False, comment="the idempotency key, of this step alone"),
    Column("begun_at", INSTANT, nullable=False, comment="when the key was announced; the call comes after"),
    Column("outcome", String(16), comment="null: not known"),
    Column("reference", Text, comment="the provider's id of the effect"),
    Column("message", Text, comment="why the provider refused"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("sku", ForeignKey("catalogue_items.sku"), primary_key=True),
    Column("warehouse", String(64), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("state", String(16), nullable=False, comment="held, shipped or released"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("state in ('held', 'shipped', 'released')", name="state"),
)

# One row, which is always there.
fraud_settings = Table(
    "fraud_settings",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=true()),
    Column("limit_amount", BigInteger, comment="in minor units; null: off"),
    Column("window_s", Integer),
    Column("maintenance", Boolean, nullable=False, server_default=false()),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    CheckConstraint("single", name="single"),
    CheckConstraint("(limit_amount > 0 AND window_s > 0) OR num_nonnulls(limit_amount, window_s) = 0", name="limit"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(31), primary_key=True),
    Column("email", Text, nullable=False, unique=True, comment="normalised"),
    Column("name", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("confirmed_at", INSTANT),
    Column("resends", Integer, nullable=False, server_default="0"),
    Column("resent_at", INSTANT),
)

sign_ups = Table(
    "sign_ups",
    metadata,
    Column("key_hash", String(64), primary_key=True, comment="of the Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("account_id", String(31), nullable=False, index=True, comment="as answered; of no account, maybe"),
    Column("created_at", INSTANT, nullable=False, index=True),
)

mails = Table(
    "mails",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("id", String(31), nullable=False, unique=True, comment="derived from the message_id"),
    Column("outcome", String(16), comment="null: it is being sent once more"),
    Column("attempts", Integer, nullable=False, server_default="1", comment="the outcomes it has had"),
    Column("at", INSTANT, nullable=False),
    Index("mails_bounced_idx", "at", postgresql_where=text("outcome = 'bounced'")),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("aggregate", Text, nullable=False, comment="rows of one are handled in order"),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Index(None, "aggregate", "id"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("owner", Text, comment="null: the system's own"),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("description", Text),
    Column("status", String(16), nullable=False),
    Column("disabled_reason", String(16)),
    Column("disabled_at", INSTANT, comment="when it was not its owner who did"),
    Column("secrets", JSONB, nullable=False, comment="newest first; null expires_at: does not expire"),
    Column("failing_since", INSTANT, comment="the first failure since the last success, or gap between failures"),
    Column("last_failed_at", INSTANT),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    Index(None, "owner", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index("webhook_endpoints_active_idx", "owner", postgresql_where=text("status = 'active'")),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    Column("event_key", Text, nullable=False, comment="of the event that is told, or of the redelivery"),
    Column("webhook_id", String(30), nullable=False, comment="the same for every copy of a message"),
    Column("event_type", Text, nullable=False),
    Column("body", Text, nullable=False, comment="as signed"),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("response_status", Integer),
    Column("retry_after_s", Double, comment="what the last answer asked for"),
    Column("duration_ms", Integer),
    Column("error", Text),
    Column("claimed_until", INSTANT, comment="an attempt is under way, or was lost, until then"),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("updated_at", INSTANT, nullable=False, server_default=func.now()),
    UniqueConstraint("event_key", "endpoint_id"),
    Index(None, "endpoint_id", "created_at", "id"),
    Index(
        "webhook_deliveries_claimed_idx",
        "endpoint_id",
        "claimed_until",
        postgresql_where=text("claimed_until IS NOT NULL"),
    ),
)

job_batches = Table(
    "job_batches",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="whose it is"),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("total", Integer, nullable=False),
    Column("key_hash", String(64), nullable=False, comment="of the Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("cancel_requested_at", INSTANT),
    UniqueConstraint("subject", "key_hash"),
)

# Arguments and results are text: jsonb would refuse an escaped NUL.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="whose it is"),
    Column("arguments", Text, nullable=False, comment="JSON"),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("unique_key", Text, comment="of one live job within its subject and type"),
    Column("status", String(16), nullable=False, comment="scheduled: waits for its first attempt"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the last one that began"),
    Column("restarts", Integer, nullable=False, server_default="0", comment="by operators, after it had failed"),
    Column("earlier_attempts", Integer, nullable=False, server_default="0", comment="before the last restart"),
    Column("progress", JSONB(none_as_null=True)),
    Column("last_error", JSONB(none_as_null=True)),
    Column("result", Text, comment="JSON"),
    Column("run_at", INSTANT, nullable=False, comment="not before"),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("started_at", INSTANT, comment="of the first attempt"),
    Column("finished_at", INSTANT, comment="null: live"),
    Column("cancel_requested_at", INSTANT),
    Column("checked_at", INSTANT, nullable=False, server_default=func.now(), comment="against what Temporal says"),
    Column("batch_id", ForeignKey("job_batches.id")),
    Column("batch_item", Integer, comment="its place in the batch, from 0"),
    Column("held", Boolean, nullable=False, server_default=false(), comment="until its batch has room for it"),
    CheckConstraint(
        "(finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled', 'timed_out'))", name="finished"
    ),
    Index(None, "subject", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at", "id"),
    Index(
        "jobs_unique_idx", "subject", "type", "unique_key", unique=True, postgresql_where=text("finished_at IS NULL")
    ),
    Index("jobs_live_idx", "checked_at", postgresql_where=text("finished_at IS NULL")),
    Index("jobs_batch_idx", "batch_id", "status", "batch_item", postgresql_where=text("batch_id IS NOT NULL")),
    Index(
        "jobs_of_live_batch_idx",
        "batch_id",
        "held",
        "batch_item",
        postgresql_where=text("batch_id IS NOT NULL AND finished_at IS NULL"),
    ),
    Index("jobs_dead_idx", "finished_at", "id", postgresql_where=text("status IN ('failed', 'timed_out')")),
)

# What each Idempotency-Key was answered with: its own job, or that which was live under its unique key.
job_keys = Table(
    "job_keys",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("key_hash", String(64), primary_key=True, comment="of the Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("job_id", String(30), nullable=False, index=True),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
)

reports = Table(
    "reports",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("subject", Text, nullable=False, comment="who asked for it"),
    Column("customer_id", Text, comment="whose orders; null: everybody's"),
    Column("accepted_from", INSTANT, nullable=False),
    Column("accepted_before", INSTANT, nullable=False),
    Column("format", String(8), nullable=False),
    Column("job_id", String(30), nullable=False, comment="that writes it"),
    Column("key_hash", String(64), nullable=False, comment="of the Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=func.now()),
    Column("key", Text, comment="of its file in the object store"),
    Column("rows", BigInteger),
    Column("size", BigInteger, comment="in bytes"),
    Column("sha256", String(64)),
    Column("written_at", INSTANT, comment="null: not yet; so are the columns of the file"),
    Column("expires_at", INSTANT),
    UniqueConstraint("subject", "key_hash"),
    CheckConstraint(
        "num_nulls(key, rows, size, sha256, written_at, expires_at) IN (0, 6)",
        name="file",
    ),
    Index(None, "subject", "created_at", "id"),
    Index(None, "created_at", "id"),
)

inbound_events = Table(
    "inbound_events",
    metadata,
    Column("provider", String(16), primary_key=True),
    Column("event_id", Text, primary_key=True, comment="the provider's"),
    Column("type", Text, nullable=False),
    Column(
        "body",
        Text,
        nullable=False,
        comment="JSON as it came; jsonb would refuse an escaped NUL",
    ),
    Column("received_at", INSTANT, nullable=False, server_default=func.now()),
    Column("processed_at", INSTANT),
    Index("inbound_events_with_body_idx", "received_at", postgresql_where=text("body <> ''")),
)

shipments = Table(
    "shipments",
    metadata,
    Column("fulfilment_id", String(40), primary_key=True),
    Column("order_id", String(30), nullable=False, index=True),
    Column("carrier_id", Text, nullable=False, unique=True, comment="the carrier's"),
    Column("status", String(16), nullable=False),
    Column("booked_at", INSTANT, nullable=False),
    Column("dispatched_at", INSTANT, comment="by the carrier's clock, as is delivered_at"),
    Column("delivered_at", INSTANT),
    Column("cancelled_at", INSTANT),
)

# Without a foreign key: the carrier may tell of a shipment before our books have it.
shipment_events = Table(
    "shipment_events",
    metadata,
    Column("source", String(16), primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("carrier_id", Text, nullable=False, index=True, comment="of the shipment"),
    Column("step", Text, nullable=False),
    Column("occurred_at", INSTANT, nullable=False, comment="by the carrier's clock"),
    Column("received_at", INSTANT, nullable=False, server_default=func.now()),
    Column("outcome", String(16), nullable=False, server_default="kept"),
    Column("reason", Text, comment="why it was not applied"),
)

attention_items = Table(
    "attention_items",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("source", Text, nullable=False, comment="the provider's id of what it is about"),
    Column("order_id", String(30)),
    Column("detail", Text, nullable=False),
    Column("opened_at", INSTANT, nullable=False, server_default=func.now()),
    Column("closed_at", INSTANT),
    Column(
        "dismissed",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="closed by an operator, and found unchanged since",
    ),
    UniqueConstraint("kind", "source"),
    Index("attention_items_open_idx", "opened_at", "id", postgresql_where=text("closed_at IS NULL")),
)

# Dead letters that an operator wants to hear no more of, as they were then; one that fails anew is told anew.
discarded_letters = Table(
    "discarded_letters",
    metadata,
    Column("id", String(31), primary_key=True, comment="of what had failed"),
    Column("since", INSTANT, nullable=False, comment="when it had"),
)

bulk_actions = Table(
    "bulk_actions",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("action", String(16), nullable=False),
    Column("filter", JSONB, nullable=False),
    Column("resolve_as", String(32)),
    Column("per_second", Double, nullable=False),
    Column("total", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("from_address", Text),
    Column("key_hash", String(64), nullable=False, comment="of the Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=func.clock_timestamp()),
    Column("cancel_requested_at", INSTANT),
    Column("finished_at", INSTANT),
    Column("failure", Text, comment="how its process ended while something was left"),
    Column("resumes", SmallInteger, nullable=False, server_default="0", comment="processes begun after the first"),
    UniqueConstraint("actor", "key_hash"),
)

bulk_items = Table(
    "bulk_items",
    metadata,
    Column("bulk_id", String(30), ForeignKey("bulk_actions.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="from 1, oldest first"),
    Column("subject", String(31), nullable=False, comment="the id of what failed"),
    Column("kind", String(32), nullable=False),
    Column("outcome", String(16), nullable=False, server_default="pending"),
    Column("code", Text, comment="why it was not done"),
    Column("tries", SmallInteger, nullable=False, server_default="0", comment="that were not answered"),
    Column("settled_at", INSTANT),
    Index(None, "bulk_id", "outcome", "number"),
)

# Triggers refuse whatever would change or delete an entry.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=func.clock_timestamp()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="the id of what it was done to"),
    Column("note", Text, nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("after", JSONB(none_as_null=True)),
    Column("request_id", Text, nullable=False),
    Column("from_address", Text, comment="of the client"),
    Index(None, "created_at", "id"),
    Index(None, "subject", "created_at", "id"),
    Index(None, "actor", "created_at", "id"),
)
