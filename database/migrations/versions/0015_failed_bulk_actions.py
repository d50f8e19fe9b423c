"""Bulk actions whose process ended before its time, and those that were resumed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "bulk_actions",
        sa.Column("failure", sa.Text(), comment="how its process ended while something was left"),
        schema="followthrough",
    )
    op.add_column(
        "bulk_actions",
        sa.Column(
            "resumes", sa.SmallInteger(), nullable=False, server_default="0", comment="processes begun after the first"
        ),
        schema="followthrough",
    )


def downgrade() -> None:
    op.drop_column("bulk_actions", "resumes", schema="followthrough")
    op.drop_column("bulk_actions", "failure", schema="followthrough")
