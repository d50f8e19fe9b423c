"""The endpoints that webhooks are sent to, and each delivery."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True, comment="null: the system's own"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("disabled_reason", sa.String(length=16), nullable=True),
        sa.Column(
            "secrets",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="newest first; null expires_at: does not expire",
        ),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the first failure since the last success",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="webhook_endpoints_pkey"),
        schema="followthrough",
    )
    for columns in (["owner", "created_at", "id"], ["created_at", "id"]):
        op.create_index(
            f"webhook_endpoints_{'_'.join(columns)}_idx", "webhook_endpoints", columns, schema="followthrough"
        )
    op.create_index(
        "webhook_endpoints_active_idx",
        "webhook_endpoints",
        ["owner"],
        schema="followthrough",
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("endpoint_id", sa.String(length=30), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False, comment="of the event that is told, or of the redelivery"),
        sa.Column("webhook_id", sa.String(length=30), nullable=False, comment="the same for every copy of a message"),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="as signed"),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "claimed_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="an attempt is under way, or was lost, until then",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["followthrough.webhook_endpoints.id"],
            name="webhook_deliveries_endpoint_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="webhook_deliveries_pkey"),
        sa.UniqueConstraint("event_key", "endpoint_id", name="webhook_deliveries_event_key_endpoint_id_key"),
        schema="followthrough",
    )
    op.create_index(
        "webhook_deliveries_endpoint_id_created_at_id_idx",
        "webhook_deliveries",
        ["endpoint_id", "created_at", "id"],
        schema="followthrough",
    )
    op.create_index(
        "webhook_deliveries_claimed_idx",
        "webhook_deliveries",
        ["endpoint_id", "claimed_until"],
        schema="followthrough",
        postgresql_where=sa.text("claimed_until IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries", schema="followthrough")
    op.drop_table("webhook_endpoints", schema="followthrough")
