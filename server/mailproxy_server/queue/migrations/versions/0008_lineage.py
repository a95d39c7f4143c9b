"""Lineage: which database the logs were written in, and the logs that ended where it changed."""

from alembic import op

revision = "0008"
down_revision = "0007"

_NOW = "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"

TABLES = """
CREATE TABLE mailproxy.log_lineage (
    tenant_id   uuid NOT NULL,
    log_no      integer NOT NULL,
    log_id      uuid NOT NULL,
    last_offset bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (tenant_id, log_no)
);
COMMENT ON TABLE mailproxy.log_lineage IS
    'the logs that a tenant''s present one goes on from; rows are never removed';
COMMENT ON COLUMN mailproxy.log_lineage.last_offset IS
    'the newest offset that the log shares with those after it';
COMMENT ON COLUMN mailproxy.log_lineage.last_at IS 'when that offset was recorded';

CREATE TABLE mailproxy.database_identity (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint,
    timeline          text,
    database_oid      oid,
    table_oid         oid,
    noted_at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE mailproxy.database_identity IS
    'one row: the database that the logs are written in; another one begins new logs';
COMMENT ON COLUMN mailproxy.database_identity.table_oid IS
    'of this table itself: a dump that was restored has another'
"""

TIMELINE = f"""
CREATE FUNCTION mailproxy.timeline() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN {_NOW};
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;  -- a service that does not allow it, or does not have it
END $$
"""

SYSTEM = """
CREATE FUNCTION mailproxy.system_identifier() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;  -- a service that does not allow it
END $$
"""

# A head that is written on another timeline than its log was begun on begins a new log, whoever
# writes: a session through PgBouncer, and an older version, notice nothing of a promotion.
BEGIN_LOG = """
CREATE FUNCTION mailproxy.begin_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.log_id = OLD.log_id THEN
        NEW.log_id := pg_catalog.gen_random_uuid();
    END IF;
    NEW.timeline := mailproxy.timeline();
    INSERT INTO mailproxy.log_lineage (tenant_id, log_no, log_id, last_offset, last_at)
    SELECT OLD.tenant_id, coalesce(pg_catalog.max(l.log_no), 0) + 1, OLD.log_id, OLD.last_offset,
           OLD.last_at
    FROM mailproxy.log_lineage l WHERE l.tenant_id = OLD.tenant_id;
    RETURN NEW;
END $$
"""

# In the condition, so that the function is called for a new log alone.
TRIGGER = f"""
CREATE TRIGGER begin_log BEFORE UPDATE ON mailproxy.report_heads FOR EACH ROW
WHEN (OLD.log_id <> NEW.log_id
      OR CASE WHEN OLD.timeline IS NULL THEN false ELSE OLD.timeline <> {_NOW} END)
EXECUTE FUNCTION mailproxy.begin_log()
"""

HEADS = """
ALTER TABLE mailproxy.report_heads ADD timeline text;
UPDATE mailproxy.report_heads SET timeline = mailproxy.timeline();
ALTER TABLE mailproxy.report_heads ALTER timeline SET DEFAULT mailproxy.timeline();
COMMENT ON COLUMN mailproxy.report_heads.timeline IS
    'of PostgreSQL, on which the log was begun; empty where it cannot be read'
"""

IDENTITY = """
INSERT INTO mailproxy.database_identity (system_identifier, timeline, database_oid, table_oid)
SELECT mailproxy.system_identifier(), mailproxy.timeline(), d.oid,
       'mailproxy.database_identity'::pg_catalog.regclass
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""


def upgrade() -> None:
    for one in TABLES.split(";\n"):
        op.execute(one)
    for one in (TIMELINE, SYSTEM, BEGIN_LOG):
        op.execute(one)
    for one in HEADS.split(";\n"):
        op.execute(one)
    op.execute(TRIGGER)
    op.execute(IDENTITY)
