#!/bin/sh
# Creates Temporal's two databases and brings them to the schema of this image. Safe to repeat: each step does nothing
# where it was done before. Where Postgres is and who we are comes from the tool's own SQL_* variables.
set -eu

bring_up_to_date() {
    temporal-sql-tool --database "$1" create
    temporal-sql-tool --database "$1" setup-schema --version 0.0
    temporal-sql-tool --database "$1" update-schema --schema-name "$2"
}

bring_up_to_date temporal postgresql/v12/temporal
bring_up_to_date temporal_visibility postgresql/v12/visibility
