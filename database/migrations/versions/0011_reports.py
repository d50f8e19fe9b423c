"""Reports: what was asked for, and the file that it became."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="who asked for it"),
        sa.Column("customer_id", sa.Text(), comment="whose orders; null: everybody's"),
        sa.Column("accepted_from", INSTANT, nullable=False),
        sa.Column("accepted_before", INSTANT, nullable=False),
        sa.Column("format", sa.String(8), nullable=False),
        sa.Column("job_id", sa.String(30), nullable=False, comment="that writes it"),
        sa.Column("key_hash", sa.String(64), nullable=False, comment="of the Idempotency-Key"),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("key", sa.Text(), comment="of its file in the object store"),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("size", sa.BigInteger(), comment="in bytes"),
        sa.Column("sha256", sa.String(64)),
        sa.Column("written_at", INSTANT, comment="null: not yet; so are the columns of the file"),
        sa.Column("expires_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="reports_pkey"),
        sa.UniqueConstraint("subject", "key_hash", name="reports_subject_key_hash_key"),
        sa.CheckConstraint(
            "num_nulls(key, rows, size, sha256, written_at, expires_at) IN (0, 6)", name="reports_file_check"
        ),
        schema="followthrough",
    )
    for columns in (["subject", "created_at", "id"], ["created_at", "id"]):
        op.create_index(f"reports_{'_'.join(columns)}_idx", "reports", columns, schema="followthrough")


def downgrade() -> None:
    op.drop_table("reports", schema="followthrough")
