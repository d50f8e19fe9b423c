"""Shipments on their way, and what their carriers tell of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shipments",
        sa.Column("fulfilment_id", sa.String(length=40), nullable=False),
        sa.Column("order_id", sa.String(length=30), nullable=False),
        sa.Column("carrier_id", sa.Text(), nullable=False, comment="the carrier's"),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "dispatched_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="by the carrier's clock, as is delivered_at",
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("fulfilment_id", name="shipments_pkey"),
        sa.UniqueConstraint("carrier_id", name="shipments_carrier_id_key"),
        schema="followthrough",
    )
    op.create_index("shipments_order_id_idx", "shipments", ["order_id"], schema="followthrough")
    op.create_table(
        "shipment_events",
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("carrier_id", sa.Text(), nullable=False, comment="of the shipment"),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False, comment="by the carrier's clock"),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.String(length=16), server_default="kept", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was not applied"),
        sa.PrimaryKeyConstraint("source", "event_id", name="shipment_events_pkey"),
        schema="followthrough",
    )
    op.create_index("shipment_events_carrier_id_idx", "shipment_events", ["carrier_id"], schema="followthrough")


def downgrade() -> None:
    op.drop_table("shipment_events", schema="followthrough")
    op.drop_table("shipments", schema="followthrough")
