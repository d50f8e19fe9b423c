"""The tables of schema `followthrough`. Queries are in the repositories beside this file, and nowhere else."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

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

stock = Table(
    "stock",
    metadata,
    Column("sku", ForeignKey("catalogue_items.sku"), primary_key=True),
    Column("warehouse", String(64), primary_key=True),
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
    Column("total", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("ship_to", JSONB, nullable=False),
    Column("failure", JSONB(none_as_null=True)),
    Column("final_status", String(32), comment="what an order being undone will end as"),
    Column("revision", Integer, nullable=False, server_default="0", comment="counts the bookings"),
    Column("request_hash", String(64), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("run_id", Text, nullable=False, comment="of the order's workflow"),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Index(None, "customer_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at", "id"),
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
