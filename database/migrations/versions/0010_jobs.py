"""Background jobs, and what their idempotency keys were answered with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="whose it is"),
        sa.Column("arguments", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("unique_key", sa.Text(), comment="of one live job within its subject and type"),
        sa.Column("status", sa.String(16), nullable=False, comment="scheduled: waits for its first attempt"),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="0", comment="the last one that began"),
        sa.Column("progress", postgresql.JSONB()),
        sa.Column("last_error", postgresql.JSONB()),
        sa.Column("result", sa.Text(), comment="JSON"),
        sa.Column("run_at", INSTANT, nullable=False, comment="not before"),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("started_at", INSTANT, comment="of the first attempt"),
        sa.Column("finished_at", INSTANT, comment="null: live"),
        sa.Column("cancel_requested_at", INSTANT),
        sa.Column(
            "checked_at",
            INSTANT,
            nullable=False,
            server_default=sa.func.now(),
            comment="against what Temporal says",
        ),
        sa.PrimaryKeyConstraint("id", name="jobs_pkey"),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled', 'timed_out'))",
            name="jobs_finished_check",
        ),
        schema="followthrough",
    )
    for columns in (["subject", "created_at", "id"], ["created_at", "id"], ["status", "created_at", "id"]):
        op.create_index(f"jobs_{'_'.join(columns)}_idx", "jobs", columns, schema="followthrough")
    live = sa.text("finished_at IS NULL")
    op.create_index(
        "jobs_unique_idx",
        "jobs",
        ["subject", "type", "unique_key"],
        unique=True,
        schema="followthrough",
        postgresql_where=live,
    )
    op.create_index("jobs_live_idx", "jobs", ["checked_at"], schema="followthrough", postgresql_where=live)
    op.create_table(
        "job_keys",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False, comment="of the Idempotency-Key"),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("subject", "key_hash", name="job_keys_pkey"),
        schema="followthrough",
    )


def downgrade() -> None:
    op.drop_table("job_keys", schema="followthrough")
    op.drop_table("jobs", schema="followthrough")
