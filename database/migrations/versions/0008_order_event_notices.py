"""Who listens hears of new entries in the timelines of orders."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Once for each order, however many entries a statement has, and not at all when it has none: telling makes commits
# wait for each other.
TELL_ORDER_EVENTS = """
CREATE FUNCTION followthrough.tell_order_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('order_events', order_id) FROM (SELECT DISTINCT order_id FROM noted) AS orders;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER order_events_tell AFTER INSERT ON followthrough.order_events
    REFERENCING NEW TABLE AS noted
    FOR EACH STATEMENT EXECUTE FUNCTION followthrough.tell_order_events()
"""


def upgrade() -> None:
    op.execute(TELL_ORDER_EVENTS)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER order_events_tell ON followthrough.order_events")
    op.execute("DROP FUNCTION followthrough.tell_order_events()")
