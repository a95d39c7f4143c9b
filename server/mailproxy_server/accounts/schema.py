"""The tables of this room, as SQLAlchemy Core sees them. Migrations own their making."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="mailproxy")

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text),
    Column("created_at", DateTime(timezone=True)),
)

tokens = Table(
    "tokens",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("token_id", Uuid, primary_key=True),
    Column("name", Text),
    Column("digest", LargeBinary),
    Column("created_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

accounts = Table(
    "accounts",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("host", Text),
    Column("port", Integer),
    Column("tls", Text),
    Column("tls_insecure_skip_verify", Boolean),
    Column("tls_ca_certificates", Text),
    Column("username", Text),
    Column("password_sealed", LargeBinary),
    Column("ehlo_name", Text),
    Column("max_connections", Integer),
    Column("max_recipients_per_transaction", Integer),
    Column("max_messages_per_connection", Integer),
    Column("idle_ttl_seconds", Double),
    Column("pipelining", Boolean),
    Column("is_default", Boolean),
    Column("limits", JSONB),
    Column("limit_behavior", Text),
    Column("rate_group", Text),
    Column("retry", JSONB),
    Column("fallback_account_ids", ARRAY(Text)),
    Column("failover_patience_seconds", Double),
    Column("capture", Boolean),
    Column("oauth", JSONB(none_as_null=True)),
    Column("oauth_sealed", LargeBinary),
    Column("attachment_endpoints", JSONB),
    Column("attachment_endpoints_sealed", LargeBinary),
    Column("dkim_keys", JSONB),
    Column("dkim_keys_sealed", LargeBinary),
    Column("dkim_unsigned_headers", ARRAY(Text)),
    Column("revision", BigInteger),
    Column("generation", BigInteger),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
)
