"""Where operators' acts came from, and what they do in bulk."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("from_address", sa.Text(), comment="of the client"), schema="followthrough")
    op.create_table(
        "bulk_actions",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("resolve_as", sa.String(32)),
        sa.Column("per_second", sa.Double(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("from_address", sa.Text()),
        sa.Column("key_hash", sa.String(64), nullable=False, comment="of the Idempotency-Key"),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("cancel_requested_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="bulk_actions_pkey"),
        sa.UniqueConstraint("actor", "key_hash", name="bulk_actions_actor_key_hash_key"),
        schema="followthrough",
    )
    op.create_table(
        "bulk_items",
        sa.Column("bulk_id", sa.String(30), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="from 1, oldest first"),
        sa.Column("subject", sa.String(31), nullable=False, comment="the id of what failed"),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False, server_default="pending"),
        sa.Column("code", sa.Text(), comment="why it was not done"),
        sa.Column("tries", sa.SmallInteger(), nullable=False, server_default="0", comment="that were not answered"),
        sa.Column("settled_at", INSTANT),
        sa.PrimaryKeyConstraint("bulk_id", "number", name="bulk_items_pkey"),
        sa.ForeignKeyConstraint(["bulk_id"], ["followthrough.bulk_actions.id"], name="bulk_items_bulk_id_fkey"),
        schema="followthrough",
    )
    op.create_index(
        "bulk_items_bulk_id_outcome_number_idx", "bulk_items", ["bulk_id", "outcome", "number"], schema="followthrough"
    )


def downgrade() -> None:
    op.drop_table("bulk_items", schema="followthrough")
    op.drop_table("bulk_actions", schema="followthrough")
    op.drop_column("audit_log", "from_address", schema="followthrough")
