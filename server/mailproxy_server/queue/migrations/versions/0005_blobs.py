"""Blobs: files that were fetched or uploaded for messages, by their content."""

from alembic import op

revision = "0005"
down_revision = "0004"

BLOBS = """
CREATE TABLE mailproxy.blobs (
    tenant_id uuid NOT NULL,
    sha256    bytea NOT NULL CHECK (octet_length(sha256) = 32),
    md5       bytea NOT NULL CHECK (octet_length(md5) = 16),
    octets    bigint NOT NULL,
    kept_at   timestamptz NOT NULL DEFAULT now(),
    used_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX blobs_md5 ON mailproxy.blobs (tenant_id, md5);
CREATE INDEX blobs_used ON mailproxy.blobs (used_at);
COMMENT ON TABLE mailproxy.blobs IS 'files fetched or uploaded for messages, by their content';
COMMENT ON COLUMN mailproxy.blobs.used_at IS
    'when one was last named or sent, to the minute; the oldest unused go first';

CREATE TABLE mailproxy.blob_chunks (
    tenant_id uuid NOT NULL,
    sha256    bytea NOT NULL,
    chunk_no  integer NOT NULL,
    data      bytea NOT NULL,
    PRIMARY KEY (tenant_id, sha256, chunk_no),
    FOREIGN KEY (tenant_id, sha256) REFERENCES mailproxy.blobs ON DELETE CASCADE
);
ALTER TABLE mailproxy.blob_chunks ALTER data SET STORAGE EXTERNAL;
COMMENT ON TABLE mailproxy.blob_chunks IS 'what a blob holds, in chunks of 256 KiB';

CREATE TABLE mailproxy.blob_flights (
    tenant_id  uuid NOT NULL,
    wanted     bytea NOT NULL,
    holder     uuid NOT NULL,
    held_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, wanted)
);
COMMENT ON TABLE mailproxy.blob_flights IS
    'which digest is being fetched just now, so that nobody fetches it beside';

ALTER TABLE mailproxy.messages ADD blobs bytea[];
CREATE INDEX messages_blobs ON mailproxy.messages USING gin (blobs) WHERE blobs IS NOT NULL;
COMMENT ON COLUMN mailproxy.messages.blobs IS
    'of each attachment that is not in the content, its SHA-256; empty while it is not here'
"""


def upgrade() -> None:
    for one in BLOBS.split(";\n"):
        op.execute(one)
