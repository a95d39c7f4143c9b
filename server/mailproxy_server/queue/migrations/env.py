"""Alembic's entry: runs the versions on the connection that `upgrade` opened."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS mailproxy"))
context.configure(connection=connection, version_table_schema="mailproxy")
with context.begin_transaction():
    context.run_migrations()
