"""Runs the migrations over the connection that `database.migrate` opened."""

from alembic import context

from database.tables import SCHEMA, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    # So that no table stays locked while later migrations run, and a migration may build an index concurrently.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
