"""Where operators' acts came from."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("from_address", sa.Text(), comment="of the client"), schema="followthrough")


def downgrade() -> None:
    op.drop_column("audit_log", "from_address", schema="followthrough")
