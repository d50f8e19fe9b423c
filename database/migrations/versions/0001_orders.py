"""Catalogue, stock, and the books of orders."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue_items",
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("amount > 0", name="catalogue_items_amount_check"),
        sa.PrimaryKeyConstraint("sku", name="catalogue_items_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("ship_to", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("failure", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column(
            "final_status", sa.String(length=32), nullable=True, comment="what an order being undone will end as"
        ),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False, comment="counts the bookings"),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False, comment="of the order's workflow"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="orders_pkey"),
        schema="followthrough",
    )
    op.create_index("orders_created_at_id_idx", "orders", ["created_at", "id"], unique=False, schema="followthrough")
    op.create_index(
        "orders_customer_id_created_at_id_idx",
        "orders",
        ["customer_id", "created_at", "id"],
        unique=False,
        schema="followthrough",
    )
    op.create_index(
        "orders_status_created_at_id_idx",
        "orders",
        ["status", "created_at", "id"],
        unique=False,
        schema="followthrough",
    )
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.String(length=30), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="of this event alone, within its order"),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["followthrough.orders.id"], name="order_events_order_id_fkey"),
        sa.PrimaryKeyConstraint("order_id", "sequence", name="order_events_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "order_steps",
        sa.Column("order_id", sa.String(length=30), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the idempotency key, of this step alone"),
        sa.Column(
            "begun_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the key was announced; the call comes after",
        ),
        sa.Column("outcome", sa.String(length=16), nullable=True, comment="null: not known"),
        sa.Column("reference", sa.Text(), nullable=True, comment="the provider's id of the effect"),
        sa.Column("message", sa.Text(), nullable=True, comment="why the provider refused"),
        sa.ForeignKeyConstraint(["order_id"], ["followthrough.orders.id"], name="order_steps_order_id_fkey"),
        sa.PrimaryKeyConstraint("order_id", "step", name="order_steps_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.String(length=30), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("warehouse", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="held, shipped or released"),
        sa.CheckConstraint("state in ('held', 'shipped', 'released')", name="reservations_state_check"),
        sa.CheckConstraint("quantity > 0", name="reservations_quantity_check"),
        sa.ForeignKeyConstraint(["order_id"], ["followthrough.orders.id"], name="reservations_order_id_fkey"),
        sa.ForeignKeyConstraint(["sku"], ["followthrough.catalogue_items.sku"], name="reservations_sku_fkey"),
        sa.PrimaryKeyConstraint("order_id", "sku", "warehouse", name="reservations_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "stock",
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("warehouse", sa.String(length=64), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("on_hand >= reserved", name="stock_on_hand_check"),
        sa.CheckConstraint("reserved >= 0", name="stock_reserved_check"),
        sa.ForeignKeyConstraint(["sku"], ["followthrough.catalogue_items.sku"], name="stock_sku_fkey"),
        sa.PrimaryKeyConstraint("sku", "warehouse", name="stock_pkey"),
        schema="followthrough",
    )


def downgrade() -> None:
    op.drop_table("stock", schema="followthrough")
    op.drop_table("reservations", schema="followthrough")
    op.drop_table("order_steps", schema="followthrough")
    op.drop_table("order_events", schema="followthrough")
    op.drop_index("orders_status_created_at_id_idx", table_name="orders", schema="followthrough")
    op.drop_index("orders_customer_id_created_at_id_idx", table_name="orders", schema="followthrough")
    op.drop_index("orders_created_at_id_idx", table_name="orders", schema="followthrough")
    op.drop_table("orders", schema="followthrough")
    op.drop_table("catalogue_items", schema="followthrough")
