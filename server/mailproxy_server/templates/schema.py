"""The table of this room, as SQLAlchemy Core sees it. Migrations own its making."""

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData(schema="mailproxy")

templates = Table(
    "templates",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("template_id", Text, primary_key=True),
    Column("subject", Text),
    Column("text_body", Text),
    Column("html_body", Text),
    Column("variables", ARRAY(Text)),
    Column("revision", BigInteger),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
)
