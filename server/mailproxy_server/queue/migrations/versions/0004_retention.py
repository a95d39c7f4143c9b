"""Retention: how far each tenant's reports and messages were looked at for what may go."""

from alembic import op

revision = "0004"
down_revision = "0003"

RETENTION = """
CREATE TABLE mailproxy.retention (
    tenant_id      uuid PRIMARY KEY,
    emptied_offset bigint NOT NULL DEFAULT 0,
    emptied_at     timestamptz NOT NULL DEFAULT '2000-01-01 00:00+00',
    swept_id       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    sweep_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
INSERT INTO mailproxy.retention (tenant_id) SELECT tenant_id FROM mailproxy.tenants;
COMMENT ON TABLE mailproxy.retention IS
    'how far custodians are; a row is locked while one of them works for its tenant';
COMMENT ON COLUMN mailproxy.retention.emptied_offset IS
    'the newest report that was looked at for a message whose content may go';
COMMENT ON COLUMN mailproxy.retention.emptied_at IS 'when it was reported';
COMMENT ON COLUMN mailproxy.retention.swept_id IS
    'the newest message that was looked at in this pass over those old enough to go';
COMMENT ON COLUMN mailproxy.retention.sweep_at IS 'from when on the pass goes on';

ALTER TABLE mailproxy.messages SET
    (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);
ALTER TABLE mailproxy.requests SET
    (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
     autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
COMMENT ON TABLE mailproxy.messages IS
    'what was submitted; its content is empty once that is no longer kept'
"""

OPEN = """
CREATE FUNCTION mailproxy.open_retention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mailproxy.retention (tenant_id) VALUES (NEW.tenant_id);
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    for one in RETENTION.split(";\n"):
        op.execute(one)
    op.execute(OPEN)
    op.execute(
        "CREATE TRIGGER open_retention AFTER INSERT ON mailproxy.tenants "
        "FOR EACH ROW EXECUTE FUNCTION mailproxy.open_retention()"
    )
