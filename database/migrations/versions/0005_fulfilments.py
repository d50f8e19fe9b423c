"""Orders in several fulfilments; steps of each of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Orders had one fulfilment, of all their lines, and it went the order's way.
_ONE_EACH = """
    UPDATE followthrough.orders SET fulfilments = jsonb_build_array(jsonb_build_object(
        'number', 1,
        'warehouse', 'wh_default',
        'lines', lines,
        'status', CASE
            WHEN status = 'completed' THEN 'shipped'
            WHEN phase = 'closed' THEN 'cancelled'
            WHEN status IN ('accepted', 'awaiting_approval') THEN 'pending'
            ELSE 'processing'
        END,
        'ends_as', CASE WHEN phase = 'undoing' THEN 'cancelled' END,
        'failure', failure
    ))
"""


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("fulfilments", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        schema="followthrough",
    )
    op.add_column(
        "orders",
        sa.Column(
            "removed_lines",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="by the customer",
        ),
        schema="followthrough",
    )
    op.execute(_ONE_EACH)
    op.add_column(
        "order_steps",
        sa.Column(
            "fulfilment",
            sa.SmallInteger(),
            server_default="1",
            nullable=False,
            comment="its number; 0: the whole order",
        ),
        schema="followthrough",
    )
    op.drop_constraint("order_steps_pkey", "order_steps", schema="followthrough")
    op.create_primary_key("order_steps_pkey", "order_steps", ["order_id", "fulfilment", "step"], schema="followthrough")


def downgrade() -> None:
    op.drop_constraint("order_steps_pkey", "order_steps", schema="followthrough")
    op.create_primary_key("order_steps_pkey", "order_steps", ["order_id", "step"], schema="followthrough")
    op.drop_column("order_steps", "fulfilment", schema="followthrough")
    op.drop_column("orders", "removed_lines", schema="followthrough")
    op.drop_column("orders", "fulfilments", schema="followthrough")
