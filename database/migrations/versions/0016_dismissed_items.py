"""Attention items that an operator closed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "attention_items",
        sa.Column(
            "dismissed",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="closed by an operator, and found unchanged since",
        ),
        schema="followthrough",
    )


def downgrade() -> None:
    op.drop_column("attention_items", "dismissed", schema="followthrough")
