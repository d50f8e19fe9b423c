"""What schedules look for: the rules of orders, which orders closed when, and what is old."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("rules", postgresql.JSONB(none_as_null=True), comment="that it was accepted under; null: not kept"),
        schema="followthrough",
    )
    op.create_index(
        "orders_closed_idx",
        "orders",
        ["updated_at", "id"],
        schema="followthrough",
        postgresql_where=sa.text("phase = 'closed'"),
    )
    op.create_index("job_keys_job_id_idx", "job_keys", ["job_id"], schema="followthrough")
    op.create_index("sign_ups_created_at_idx", "sign_ups", ["created_at"], schema="followthrough")
    op.create_index(
        "inbound_events_with_body_idx",
        "inbound_events",
        ["received_at"],
        schema="followthrough",
        postgresql_where=sa.text("body <> ''"),
    )
    op.create_index(
        "attention_items_open_idx",
        "attention_items",
        ["opened_at", "id"],
        schema="followthrough",
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("attention_items_open_idx", "attention_items", schema="followthrough")
    op.drop_index("inbound_events_with_body_idx", "inbound_events", schema="followthrough")
    op.drop_index("sign_ups_created_at_idx", "sign_ups", schema="followthrough")
    op.drop_index("job_keys_job_id_idx", "job_keys", schema="followthrough")
    op.drop_index("orders_closed_idx", "orders", schema="followthrough")
    op.drop_column("orders", "rules", schema="followthrough")
