"""Limits, retries, breakers, pauses, fallbacks and guarantees: what says when a delivery may go."""

from alembic import op

revision = "0002"
down_revision = "0001"

ACCOUNTS = """
ALTER TABLE mailproxy.accounts
    ADD limits jsonb NOT NULL DEFAULT '[]',
    ADD limit_behavior text NOT NULL DEFAULT 'defer' CHECK (limit_behavior IN ('defer', 'reject')),
    ADD rate_group text NOT NULL DEFAULT '',
    ADD retry jsonb NOT NULL DEFAULT '{}',
    ADD fallback_account_ids text[] NOT NULL DEFAULT '{}',
    ADD failover_patience_seconds double precision NOT NULL DEFAULT 60,
    ADD capture boolean NOT NULL DEFAULT false,
    ADD oauth jsonb,
    ADD oauth_sealed bytea;
COMMENT ON COLUMN mailproxy.accounts.limits IS
    'an array of {count, window (seconds), unit (recipients or messages)}';
COMMENT ON COLUMN mailproxy.accounts.retry IS
    'what differs from the default policy: first, factor, cap, jitter, max_age, max_attempts';
COMMENT ON COLUMN mailproxy.accounts.oauth IS 'token_url, client_id, scope; its secrets are sealed';

CREATE TABLE mailproxy.rate_usage (
    tenant_id uuid NOT NULL,
    rate_key  text NOT NULL,
    usage     json NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, rate_key)
) WITH (fillfactor = 10, toast_tuple_target = 8160,
        autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);
ALTER TABLE mailproxy.rate_usage ALTER usage SET STORAGE MAIN;
COMMENT ON TABLE mailproxy.rate_usage IS
    'reservations by sub-bucket; locked while a limited account claims';

CREATE TABLE mailproxy.relay_health (
    tenant_id        uuid NOT NULL,
    account_id       text NOT NULL,
    breaker          text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open')),
    kind             text CHECK (kind IN ('fault', 'auth', 'quota')),
    reason           smallint,
    reply_code       smallint,
    reply_enhanced   text,
    reply_text       text,
    reply_stage      text,
    detail           text,
    opened_at        timestamptz,
    probe_at         timestamptz,
    probes           integer NOT NULL DEFAULT 0,
    account_revision bigint,
    generation       bigint NOT NULL DEFAULT 1,
    connections      integer,
    gap_seconds      double precision NOT NULL DEFAULT 0,
    throttled_at     timestamptz,
    PRIMARY KEY (tenant_id, account_id)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE mailproxy.relay_health IS
    'the breaker and the throttle of each account whose relay ever misbehaved; no row: all is well';
COMMENT ON COLUMN mailproxy.relay_health.probe_at IS
    'when the next message goes through an open breaker; who moves it on makes the probe';
COMMENT ON COLUMN mailproxy.relay_health.account_revision IS
    'of the account when the breaker opened: a changed account closes it';
COMMENT ON COLUMN mailproxy.relay_health.generation IS
    'rises when the breaker closes: dispatchers then forget their low-water bounds';
COMMENT ON COLUMN mailproxy.relay_health.connections IS 'left by the throttle; null: all';

CREATE TABLE mailproxy.pauses (
    tenant_id  uuid NOT NULL,
    account_id text NOT NULL DEFAULT '',
    labels     jsonb NOT NULL DEFAULT '{}',
    note       text NOT NULL DEFAULT '',
    paused_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, account_id, labels)
);
COMMENT ON TABLE mailproxy.pauses IS
    'of an account ('''' any) and of labels ({} any); one without labels rewrites no delivery';

CREATE TABLE mailproxy.pause_changes (
    tenant_id  uuid NOT NULL,
    account_id text NOT NULL,
    labels     jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    looked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, account_id, labels)
);
COMMENT ON TABLE mailproxy.pause_changes IS
    'pauses of labels that began or ended, and that deliveries may not have followed yet';
COMMENT ON COLUMN mailproxy.pause_changes.looked_at IS
    'when somebody began to see to it; who moves it on does';
"""

QUEUE = """
ALTER TABLE mailproxy.messages ADD at_most_once boolean NOT NULL DEFAULT false;

ALTER TABLE mailproxy.deliveries
    ADD held boolean NOT NULL DEFAULT false,
    ADD marked boolean NOT NULL DEFAULT false,
    ADD spared smallint NOT NULL DEFAULT 0,
    ADD fallback_no smallint NOT NULL DEFAULT 0,
    ADD claimed_at timestamptz,
    ADD expire_at timestamptz,
    ADD round_at timestamptz,
    ADD send_at timestamptz;
UPDATE mailproxy.deliveries d SET expire_at = m.expire_at FROM mailproxy.messages m
    WHERE m.tenant_id = d.tenant_id AND m.message_id = d.message_id AND m.expire_at IS NOT NULL;
COMMENT ON COLUMN mailproxy.deliveries.held IS
    'a pause of labels keeps it from being claimed, once it is queued';
COMMENT ON COLUMN mailproxy.deliveries.marked IS
    'at most once, and its final dot may have left: whoever finds it so never sends it again';
COMMENT ON COLUMN mailproxy.deliveries.spared IS
    'attempts not counted, since the relay blamed the account';
COMMENT ON COLUMN mailproxy.deliveries.fallback_no IS
    'which of its account''s fallbacks it moved to, from 1; 0 while at home';
COMMENT ON COLUMN mailproxy.deliveries.claimed_at IS 'of the newest claim; its reservation''s time';
COMMENT ON COLUMN mailproxy.deliveries.round_at IS
    'when a RetryMessage began its round anew; null in the first round';
COMMENT ON COLUMN mailproxy.deliveries.send_at IS
    'what RescheduleMessage made due_at; while they are the same it waits for no retry';
DROP INDEX mailproxy.deliveries_due;
CREATE INDEX deliveries_due ON mailproxy.deliveries
    (tenant_id, account_id, priority, due_at, message_id, recipient_no)
    WHERE worker_id IS NULL AND NOT held;
CREATE INDEX deliveries_held ON mailproxy.deliveries (tenant_id, message_id, recipient_no)
    WHERE held;
CREATE INDEX deliveries_expire ON mailproxy.deliveries (expire_at) WHERE expire_at IS NOT NULL;
CREATE INDEX deliveries_cancel ON mailproxy.deliveries (tenant_id) WHERE cancel_requested;
"""

REPORTS = """
ALTER TABLE mailproxy.report_log
    ADD claim_no integer NOT NULL DEFAULT 0,
    ADD detail text,
    DROP CONSTRAINT report_log_event_check,
    ADD CONSTRAINT report_log_event_check CHECK (event BETWEEN 1 AND 7 OR event IN (10, 11));
COMMENT ON COLUMN mailproxy.report_log.claim_no IS 'the fence then; a new round goes on with it';

CREATE OR REPLACE VIEW mailproxy.v_sends AS
SELECT tenant_id, log_offset, reported_at, message_id, recipient, account_id, attempt,
       CASE event WHEN 10 THEN 'breaker opened' WHEN 11 THEN 'breaker closed' ELSE
         (ARRAY['deferred', 'sent', 'failed', 'expired', 'cancelled', 'captured',
                'requeued'])[event]
       END AS event,
       reason, reply_code, reply_enhanced, reply_text, reply_stage, relay_host, relay_message_id,
       mail_at, next_attempt_at, possible_duplicate, transcript, detail
FROM mailproxy.report_log
"""


def upgrade() -> None:
    for statement in (ACCOUNTS, QUEUE, REPORTS):
        for one in statement.split(";\n"):
            if one.strip():
                op.execute(one)
