"""Dead letters that are retried or discarded, the audit log, batches of jobs, and the version of the catalogue."""

from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from ulid import ULID

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
MAILS = UUID("3d0c1f4e-52ad-5b0e-9c47-8e0f8f6c2a11")

REFUSE = """
CREATE FUNCTION followthrough.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""
KEEP_ROWS = """
CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON followthrough.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION followthrough.refuse_change()
"""
# Triggers bind the tables' owner, too; this binds all others, whatever they may be granted by default.
REVOKE = "REVOKE UPDATE, DELETE, TRUNCATE ON followthrough.audit_log FROM PUBLIC"


def upgrade() -> None:
    for name, comment in (
        ("restarts", "by operators, after it had failed"),
        ("earlier_attempts", "before the last restart"),
    ):
        op.add_column(
            "jobs",
            sa.Column(name, sa.Integer(), nullable=False, server_default="0", comment=comment),
            schema="followthrough",
        )
    op.create_index(
        "jobs_dead_idx",
        "jobs",
        ["finished_at", "id"],
        schema="followthrough",
        postgresql_where=sa.text("status IN ('failed', 'timed_out')"),
    )
    op.add_column(
        "webhook_endpoints",
        sa.Column("disabled_at", INSTANT, comment="when it was not its owner who did"),
        schema="followthrough",
    )
    _add_batches()
    op.create_table(
        "catalogue_version",
        sa.Column("single", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("single", name="catalogue_version_pkey"),
        sa.CheckConstraint("single", name="catalogue_version_single_check"),
        schema="followthrough",
    )
    op.execute("INSERT INTO followthrough.catalogue_version DEFAULT VALUES")
    _number_mails()
    op.create_table(
        "discarded_letters",
        sa.Column("id", sa.String(31), nullable=False, comment="of what had failed"),
        sa.Column("since", INSTANT, nullable=False, comment="when it had"),
        sa.PrimaryKeyConstraint("id", name="discarded_letters_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="the id of what it was done to"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB()),
        sa.Column("after", postgresql.JSONB()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_log_pkey"),
        schema="followthrough",
    )
    for columns in (["created_at", "id"], ["subject", "created_at", "id"], ["actor", "created_at", "id"]):
        op.create_index(f"audit_log_{'_'.join(columns)}_idx", "audit_log", columns, schema="followthrough")
    for statement in (REFUSE, KEEP_ROWS, REVOKE):
        op.execute(statement)


def _add_batches() -> None:
    op.create_table(
        "job_batches",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="whose it is"),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False, comment="of the Idempotency-Key"),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("cancel_requested_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="job_batches_pkey"),
        sa.UniqueConstraint("subject", "key_hash", name="job_batches_subject_key_hash_key"),
        schema="followthrough",
    )
    for column in (
        sa.Column("batch_id", sa.String(30)),
        sa.Column("batch_item", sa.Integer(), comment="its place in the batch, from 0"),
        sa.Column(
            "held", sa.Boolean(), nullable=False, server_default=sa.false(), comment="until its batch has room for it"
        ),
    ):
        op.add_column("jobs", column, schema="followthrough")
    op.create_foreign_key(
        "jobs_batch_id_fkey",
        "jobs",
        "job_batches",
        ["batch_id"],
        ["id"],
        source_schema="followthrough",
        referent_schema="followthrough",
    )
    for name, columns, condition in (
        ("jobs_batch_idx", ["batch_id", "status", "batch_item"], "batch_id IS NOT NULL"),
        ("jobs_of_live_batch_idx", ["batch_id", "held", "batch_item"], "batch_id IS NOT NULL AND finished_at IS NULL"),
    ):
        op.create_index(name, "jobs", columns, schema="followthrough", postgresql_where=sa.text(condition))


def _number_mails() -> None:
    mails = sa.table("mails", sa.column("message_id", sa.Text()), sa.column("id", sa.String()), schema="followthrough")
    op.add_column(
        "mails", sa.Column("id", sa.String(31), comment="derived from the message_id"), schema="followthrough"
    )
    connection = op.get_bind()
    known = connection.scalars(sa.select(mails.c.message_id)).all()
    if known:
        numbered = [{"known": one, "number": f"mail_{ULID.from_uuid(uuid5(MAILS, one))}"} for one in known]
        change = sa.update(mails).where(mails.c.message_id == sa.bindparam("known")).values(id=sa.bindparam("number"))
        connection.execute(change, numbered)
    op.alter_column("mails", "id", nullable=False, schema="followthrough")
    op.create_unique_constraint("mails_id_key", "mails", ["id"], schema="followthrough")
    op.alter_column(
        "mails", "outcome", nullable=True, comment="null: it is being sent once more", schema="followthrough"
    )
    op.add_column(
        "mails",
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="1", comment="the outcomes it has had"),
        schema="followthrough",
    )
    op.create_index(
        "mails_bounced_idx",
        "mails",
        ["at"],
        schema="followthrough",
        postgresql_where=sa.text("outcome = 'bounced'"),
    )


def downgrade() -> None:
    op.drop_table("catalogue_version", schema="followthrough")
    op.drop_table("audit_log", schema="followthrough")
    op.execute("DROP FUNCTION followthrough.refuse_change()")
    op.drop_table("discarded_letters", schema="followthrough")
    op.drop_index("mails_bounced_idx", table_name="mails", schema="followthrough")
    op.execute("DELETE FROM followthrough.mails WHERE outcome IS NULL")
    op.alter_column("mails", "outcome", nullable=False, schema="followthrough")
    op.drop_column("mails", "attempts", schema="followthrough")
    op.drop_column("mails", "id", schema="followthrough")
    for name in ("held", "batch_item", "batch_id"):
        op.drop_column("jobs", name, schema="followthrough")
    op.drop_table("job_batches", schema="followthrough")
    op.drop_column("webhook_endpoints", "disabled_at", schema="followthrough")
    op.drop_index("jobs_dead_idx", table_name="jobs", schema="followthrough")
    for name in ("restarts", "earlier_attempts"):
        op.drop_column("jobs", name, schema="followthrough")
