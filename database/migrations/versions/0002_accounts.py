"""Accounts, the mails they got, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Who listens hears of new rows once they are committed: once, however many rows a transaction has. A trigger of the
# statement would tell of none, too, and telling makes commits wait for each other.
TELL_OUTBOX = """
CREATE FUNCTION followthrough.tell_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('followthrough_outbox', '');
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER outbox_tell AFTER INSERT ON followthrough.outbox
    FOR EACH ROW EXECUTE FUNCTION followthrough.tell_outbox()
"""


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=31), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="normalised"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="accounts_pkey"),
        sa.UniqueConstraint("email", name="accounts_email_key"),
        schema="followthrough",
    )
    op.create_table(
        "sign_ups",
        sa.Column("key_hash", sa.String(length=64), nullable=False, comment="of the Idempotency-Key"),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=31), nullable=False, comment="as answered; of no account, maybe"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="sign_ups_pkey"),
        schema="followthrough",
    )
    op.create_index("sign_ups_account_id_idx", "sign_ups", ["account_id"], unique=False, schema="followthrough")
    op.create_table(
        "mails",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="mails_pkey"),
        schema="followthrough",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("aggregate", sa.Text(), nullable=False, comment="rows of one are handled in order"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="outbox_pkey"),
        schema="followthrough",
    )
    op.create_index("outbox_aggregate_id_idx", "outbox", ["aggregate", "id"], unique=False, schema="followthrough")
    op.execute(TELL_OUTBOX)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_table("outbox", schema="followthrough")
    op.execute("DROP FUNCTION followthrough.tell_outbox()")
    op.drop_table("mails", schema="followthrough")
    op.drop_index("sign_ups_account_id_idx", table_name="sign_ups", schema="followthrough")
    op.drop_table("sign_ups", schema="followthrough")
    op.drop_table("accounts", schema="followthrough")
