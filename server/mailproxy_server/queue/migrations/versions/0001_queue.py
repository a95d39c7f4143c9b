"""Tenants, accounts, messages, deliveries, the report log, and the two views over them.

tenant_id leads every key, so that the tables can be distributed by it later. The hot tables
have no foreign keys. Numbers of states, events and reasons are those of the contract.
"""

from alembic import op

revision = "0001"
down_revision = None

WHO = """
CREATE TABLE mailproxy.tenants (
    tenant_id  uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE mailproxy.tokens (
    tenant_id  uuid NOT NULL REFERENCES mailproxy.tenants,
    token_id   uuid NOT NULL,
    name       text NOT NULL,
    digest     bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, token_id)
);
COMMENT ON COLUMN mailproxy.tokens.digest IS 'SHA-256 of the token; the token itself is nowhere';

CREATE TABLE mailproxy.accounts (
    tenant_id                    uuid NOT NULL,
    account_id                   text NOT NULL,
    host                         text NOT NULL,
    port                         integer NOT NULL,
    tls                          text NOT NULL CHECK (tls IN ('starttls', 'implicit', 'none')),
    tls_insecure_skip_verify     boolean NOT NULL,
    tls_ca_certificates          text NOT NULL,
    username                     text NOT NULL,
    password_sealed              bytea,
    ehlo_name                    text NOT NULL,
    max_connections              integer NOT NULL,
    max_recipients_per_transaction integer NOT NULL,
    max_messages_per_connection  integer NOT NULL,
    idle_ttl_seconds             double precision NOT NULL,
    pipelining                   boolean NOT NULL,
    is_default                   boolean NOT NULL,
    revision                     bigint NOT NULL DEFAULT 1,
    generation                   bigint NOT NULL DEFAULT 1,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    updated_at                   timestamptz NOT NULL DEFAULT now(),
    deleted_at                   timestamptz,
    PRIMARY KEY (tenant_id, account_id)
);
CREATE UNIQUE INDEX accounts_default ON mailproxy.accounts (tenant_id)
    WHERE is_default AND deleted_at IS NULL;
COMMENT ON COLUMN mailproxy.accounts.revision IS 'rises with every change; the etag';
COMMENT ON COLUMN mailproxy.accounts.generation IS
    'rises when deliveries that waited may go: dispatchers then forget their low-water bounds';
"""

QUEUE = """
CREATE TABLE mailproxy.messages (
    tenant_id       uuid NOT NULL,
    message_id      uuid NOT NULL,
    account_id      text NOT NULL,
    request_id      text,
    priority        smallint NOT NULL,
    accepted_at     timestamptz NOT NULL,
    send_at         timestamptz,
    expire_at       timestamptz,
    return_path     text NOT NULL,
    content         bytea NOT NULL,
    labels          jsonb,
    metadata        jsonb,
    traceparent     text,
    recipient_count smallint NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
) WITH (toast_tuple_target = 8160,
        autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_insert_scale_factor = 0);
ALTER TABLE mailproxy.messages ALTER content SET STORAGE MAIN;
CREATE INDEX messages_labels ON mailproxy.messages USING gin (labels jsonb_path_ops)
    WHERE labels IS NOT NULL;
COMMENT ON TABLE mailproxy.messages IS 'what was submitted; written once, never changed';

CREATE TABLE mailproxy.requests (
    tenant_id  uuid NOT NULL,
    request_id text NOT NULL,
    message_id uuid NOT NULL,
    digests    bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);
COMMENT ON TABLE mailproxy.requests IS 'which message a request_id made, and a digest per field';

CREATE TABLE mailproxy.deliveries (
    tenant_id        uuid NOT NULL,
    message_id       uuid NOT NULL,
    recipient_no     smallint NOT NULL,
    account_id       text NOT NULL,
    recipient        text NOT NULL,
    priority         smallint NOT NULL CHECK (priority IN (10, 20, 30, 40)),
    due_at           timestamptz NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,
    claim_no         integer NOT NULL DEFAULT 0,
    worker_id        uuid,
    doubtful         boolean NOT NULL DEFAULT false,
    cancel_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, message_id, recipient_no)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON mailproxy.deliveries
    (tenant_id, account_id, priority, due_at, message_id, recipient_no)
    WHERE worker_id IS NULL;
CREATE INDEX deliveries_claimed ON mailproxy.deliveries (worker_id) WHERE worker_id IS NOT NULL;
COMMENT ON TABLE mailproxy.deliveries IS 'one row per recipient still to do; a final one is gone';
COMMENT ON COLUMN mailproxy.deliveries.claim_no IS
    'the fence: rises at every claim, never falls; every write to a claimed row names it';
COMMENT ON COLUMN mailproxy.deliveries.worker_id IS 'who has claimed it; null while queued';
COMMENT ON COLUMN mailproxy.deliveries.doubtful IS 'an earlier attempt may have been delivered';

CREATE TABLE mailproxy.workers (
    worker_id     uuid PRIMARY KEY,
    host          text NOT NULL,
    birthplace    text NOT NULL,
    pid           integer NOT NULL,
    pid_birth     bigint NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    beat_at       timestamptz NOT NULL DEFAULT now(),
    lease_seconds double precision NOT NULL
);
COMMENT ON TABLE mailproxy.workers IS 'dispatchers alive; deliveries of a dead one are rescued';
COMMENT ON COLUMN mailproxy.workers.birthplace IS
    'boot and process namespace: who shares it can tell by pid and pid_birth that this one died';
"""

REPORTS = """
CREATE TABLE mailproxy.report_heads (
    tenant_id   uuid PRIMARY KEY,
    log_id      uuid NOT NULL DEFAULT gen_random_uuid(),
    last_offset bigint NOT NULL DEFAULT 0,
    last_at     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE mailproxy.report_heads IS
    'the newest offset of each log; locked while reports are appended, so offsets have no gap';

CREATE TABLE mailproxy.report_log (
    tenant_id          uuid NOT NULL,
    log_offset         bigint NOT NULL,
    reported_at        timestamptz NOT NULL,
    message_id         uuid NOT NULL,
    recipient_no       smallint NOT NULL,
    account_id         text NOT NULL,
    recipient          text NOT NULL,
    event              smallint NOT NULL CHECK (event BETWEEN 1 AND 7),
    reason             smallint NOT NULL,
    attempt            integer NOT NULL,
    reply_code         smallint,
    reply_enhanced     text,
    reply_text         text,
    reply_stage        text,
    relay_host         text,
    relay_message_id   text,
    mail_at            timestamptz,
    next_attempt_at    timestamptz,
    possible_duplicate boolean NOT NULL,
    transcript         json,
    PRIMARY KEY (tenant_id, log_offset, reported_at)
) PARTITION BY RANGE (reported_at);
CREATE INDEX report_log_message ON mailproxy.report_log (tenant_id, message_id);
COMMENT ON TABLE mailproxy.report_log IS 'what happened, append-only, a partition a UTC day';
"""

HEADS = """
CREATE FUNCTION mailproxy.open_report_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mailproxy.report_heads (tenant_id) VALUES (NEW.tenant_id);
    RETURN NULL;
END $$
"""

VIEWS = """
CREATE VIEW mailproxy.v_messages AS
SELECT m.tenant_id, m.message_id, m.account_id, m.request_id, m.priority, m.accepted_at, m.send_at,
       m.expire_at, m.return_path, m.labels, m.recipient_count,
       d.queued, d.sending, d.next_attempt_at,
       coalesce(r.sent, 0) AS sent, coalesce(r.failed, 0) AS failed,
       coalesce(r.expired, 0) AS expired, coalesce(r.cancelled, 0) AS cancelled,
       coalesce(r.captured, 0) AS captured
FROM mailproxy.messages m
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE worker_id IS NULL) AS queued,
           count(*) FILTER (WHERE worker_id IS NOT NULL) AS sending,
           min(due_at) FILTER (WHERE worker_id IS NULL) AS next_attempt_at
    FROM mailproxy.deliveries d
    WHERE d.tenant_id = m.tenant_id AND d.message_id = m.message_id) d
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE event = 2) AS sent, count(*) FILTER (WHERE event = 3) AS failed,
           count(*) FILTER (WHERE event = 4) AS expired,
           count(*) FILTER (WHERE event = 5) AS cancelled,
           count(*) FILTER (WHERE event = 6) AS captured
    FROM (SELECT DISTINCT ON (recipient_no) event FROM mailproxy.report_log r
          WHERE r.tenant_id = m.tenant_id AND r.message_id = m.message_id
          ORDER BY recipient_no, log_offset DESC) newest) r;
COMMENT ON VIEW mailproxy.v_messages IS
    'stable: each message and how many of its recipients are in which state';

CREATE VIEW mailproxy.v_sends AS
SELECT tenant_id, log_offset, reported_at, message_id, recipient, account_id, attempt,
       (ARRAY['deferred', 'sent', 'failed', 'expired', 'cancelled', 'captured', 'requeued'])[event]
         AS event,
       reason, reply_code, reply_enhanced, reply_text, reply_stage, relay_host, relay_message_id,
       mail_at, next_attempt_at, possible_duplicate, transcript
FROM mailproxy.report_log;
COMMENT ON VIEW mailproxy.v_sends IS 'stable: every event of the report log, one row each';
"""


def upgrade() -> None:
    for statement in (WHO, QUEUE, REPORTS, VIEWS):
        for one in statement.split(";\n"):
            if one.strip():
                op.execute(one)
    op.execute(HEADS)
    op.execute(
        "CREATE TRIGGER open_report_log AFTER INSERT ON mailproxy.tenants "
        "FOR EACH ROW EXECUTE FUNCTION mailproxy.open_report_log()"
    )
