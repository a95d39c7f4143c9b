"""Accounts: endpoints that attachments come from, and keys that sign (DKIM)."""

from alembic import op

revision = "0006"
down_revision = "0005"

ACCOUNTS = """
ALTER TABLE mailproxy.accounts
    ADD attachment_endpoints jsonb NOT NULL DEFAULT '[]',
    ADD attachment_endpoints_sealed bytea,
    ADD dkim_keys jsonb NOT NULL DEFAULT '[]',
    ADD dkim_keys_sealed bytea,
    ADD dkim_unsigned_headers text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN mailproxy.accounts.attachment_endpoints IS
    'an array of {name, url, auth, username, header_name, has_secret}; secrets are sealed';
COMMENT ON COLUMN mailproxy.accounts.dkim_keys IS
    'an array of {domain, selector, algorithm, public_key}; private keys are sealed'
"""


def upgrade() -> None:
    for one in ACCOUNTS.split(";\n"):
        op.execute(one)
