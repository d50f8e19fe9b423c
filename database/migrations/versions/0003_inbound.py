"""The events that providers send us, and what somebody has to look at because of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbound_events",
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="the provider's"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON as it came; jsonb would refuse an escaped NUL"),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("provider", "event_id", name="inbound_events_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "attention_items",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="the provider's id of what it is about"),
        sa.Column("order_id", sa.String(length=30), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="attention_items_pkey"),
        sa.UniqueConstraint("kind", "source", name="attention_items_kind_source_key"),
        schema="followthrough",
    )


def downgrade() -> None:
    op.drop_table("attention_items", schema="followthrough")
    op.drop_table("inbound_events", schema="followthrough")
