"""Templates of subjects and bodies."""

from alembic import op

revision = "0007"
down_revision = "0006"

TEMPLATES = """
CREATE TABLE mailproxy.templates (
    tenant_id   uuid NOT NULL,
    template_id text NOT NULL,
    subject     text NOT NULL,
    text_body   text NOT NULL,
    html_body   text NOT NULL,
    variables   text[] NOT NULL,
    revision    bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz,
    PRIMARY KEY (tenant_id, template_id)
);
COMMENT ON TABLE mailproxy.templates IS 'what messages are made of, in Jinja2';
COMMENT ON COLUMN mailproxy.templates.revision IS 'rises with every change; the etag';
COMMENT ON COLUMN mailproxy.templates.deleted_at IS
    'one that is made anew goes on with its revision, so that no etag ever comes again'
"""


def upgrade() -> None:
    for one in TEMPLATES.split(";\n"):
        op.execute(one)
