"""Deliveries keep the pause that their receiver asked for, and endpoints the time of their last failure."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "followthrough"


def upgrade() -> None:
    op.add_column(
        "webhook_deliveries",
        sa.Column("retry_after_s", sa.Double, comment="what the last answer asked for"),
        schema=SCHEMA,
    )
    op.add_column("webhook_endpoints", sa.Column("last_failed_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.alter_column(
        "webhook_endpoints",
        "failing_since",
        comment="the first failure since the last success, or gap between failures",
        existing_comment="the first failure since the last success",
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.alter_column(
        "webhook_endpoints",
        "failing_since",
        comment="the first failure since the last success",
        existing_comment="the first failure since the last success, or gap between failures",
        schema=SCHEMA,
    )
    op.drop_column("webhook_endpoints", "last_failed_at", schema=SCHEMA)
    op.drop_column("webhook_deliveries", "retry_after_s", schema=SCHEMA)
