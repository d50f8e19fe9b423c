"""Warehouses, the fraud limit, and what SKUs an order has."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME_WAREHOUSES = """
INSERT INTO followthrough.warehouses (id) SELECT 'wh_default' UNION SELECT warehouse FROM followthrough.stock
"""

# Orders are listed by SKU from rows of their own, in the order of lists (docs/decisions/lists-by-sku.md).
KEEP_SKUS = """
CREATE FUNCTION followthrough.keep_order_skus() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM followthrough.order_skus WHERE order_id = NEW.id;
    END IF;
    INSERT INTO followthrough.order_skus (order_id, sku, created_at)
    SELECT DISTINCT NEW.id, line ->> 'sku', NEW.created_at FROM jsonb_array_elements(NEW.lines) AS line;
    RETURN NULL;
END $$
"""
OF_NEW_ORDERS = """
CREATE TRIGGER orders_skus_of_new AFTER INSERT ON followthrough.orders
    FOR EACH ROW EXECUTE FUNCTION followthrough.keep_order_skus()
"""
OF_CHANGED_ORDERS = """
CREATE TRIGGER orders_skus_of_changed AFTER UPDATE OF lines ON followthrough.orders
    FOR EACH ROW WHEN (OLD.lines IS DISTINCT FROM NEW.lines) EXECUTE FUNCTION followthrough.keep_order_skus()
"""
OF_ALL_ORDERS = """
INSERT INTO followthrough.order_skus (order_id, sku, created_at)
SELECT DISTINCT id, line ->> 'sku', created_at
FROM followthrough.orders, jsonb_array_elements(lines) AS line
"""


def upgrade() -> None:
    op.create_table(
        "warehouses",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="warehouses_pkey"),
        schema="followthrough",
    )
    op.execute(NAME_WAREHOUSES)
    op.create_foreign_key(
        "stock_warehouse_fkey",
        "stock",
        "warehouses",
        ["warehouse"],
        ["id"],
        source_schema="followthrough",
        referent_schema="followthrough",
    )
    op.create_table(
        "fraud_settings",
        sa.Column("single", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("limit_amount", sa.BigInteger(), nullable=True, comment="in minor units; null: off"),
        sa.Column("window_s", sa.Integer(), nullable=True),
        sa.Column("maintenance", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("single", name="fraud_settings_single_check"),
        sa.CheckConstraint(
            "(limit_amount > 0 AND window_s > 0) OR num_nonnulls(limit_amount, window_s) = 0",
            name="fraud_settings_limit_check",
        ),
        sa.PrimaryKeyConstraint("single", name="fraud_settings_pkey"),
        schema="followthrough",
    )
    op.execute("INSERT INTO followthrough.fraud_settings DEFAULT VALUES")
    op.create_table(
        "order_skus",
        sa.Column("order_id", sa.String(length=30), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="of the order"),
        sa.PrimaryKeyConstraint("order_id", "sku", name="order_skus_pkey"),
        schema="followthrough",
    )
    op.create_index(
        "order_skus_sku_created_at_order_id_idx",
        "order_skus",
        ["sku", "created_at", "order_id"],
        schema="followthrough",
    )
    for statement in (KEEP_SKUS, OF_NEW_ORDERS, OF_CHANGED_ORDERS, OF_ALL_ORDERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER orders_skus_of_changed ON followthrough.orders")
    op.execute("DROP TRIGGER orders_skus_of_new ON followthrough.orders")
    op.execute("DROP FUNCTION followthrough.keep_order_skus()")
    op.drop_table("order_skus", schema="followthrough")
    op.drop_table("fraud_settings", schema="followthrough")
    op.drop_constraint("stock_warehouse_fkey", "stock", schema="followthrough")
    op.drop_table("warehouses", schema="followthrough")
