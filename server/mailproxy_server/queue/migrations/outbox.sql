CREATE TABLE mailproxy.outbox (
    outbox_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL DEFAULT 'default',
    request_id  text,
    email       json NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused_at  timestamptz,
    field       text,
    error       text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX outbox_waiting ON mailproxy.outbox (outbox_id) WHERE refused_at IS NULL;

COMMENT ON TABLE mailproxy.outbox IS
    'mail of applications'' own transactions, until it is moved into the queue; a refused row stays';

COMMENT ON COLUMN mailproxy.outbox.email IS 'mailproxy.v1.Email in the JSON mapping of protobuf';

CREATE FUNCTION mailproxy.submit(
    email json, request_id text DEFAULT NULL, tenant text DEFAULT 'default',
    traceparent text DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mailproxy.outbox (tenant, request_id, email, traceparent)
    VALUES (submit.tenant, submit.request_id, submit.email, submit.traceparent);
    PERFORM pg_notify('mailproxy_outbox', '');
END $$;

COMMENT ON FUNCTION mailproxy.submit IS
    'puts an email into the outbox; it is sent if, and only if, this transaction commits';

REVOKE ALL ON FUNCTION mailproxy.submit FROM PUBLIC;
