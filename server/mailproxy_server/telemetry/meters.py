"""Every metric that a process keeps itself. What comes from the database is in `web.gauges`.

Names, labels and help are the contract with dashboards and alerts (deploy/). Every help text says
when to worry. Counters of all replicas add up to the truth. Labels are bounded: tenants
and accounts by `names.MOST`, all others by the code.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OWN = CollectorRegistry()
"""The metrics of this process."""

ACCOUNT = ("tenant_id", "tenant_name", "account_id", "account_name")

_WAITS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400,
)  # fmt: skip
_TRIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_STATEMENTS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

# gRFC A66 fixes these.
_CALLS = (
    0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006,
    0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2,
    0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 2, 5, 10, 20, 50, 100,
)  # fmt: skip
_SIZES = (
    0, 1024, 2048, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456,
    1073741824, 4294967296,
)  # fmt: skip

# --- what became of mail, by account -------------------------------------------------------

SENT = Counter(
    "gmp_sent_total",
    "Recipients for whom the relay answered 250 to the final dot. Worry when it stands still while "
    "gmp_queue_oldest_due_seconds grows.",
    ACCOUNT, registry=OWN,
)  # fmt: skip
ERRORS = Counter(
    "gmp_errors_total",
    "Recipients who ended FAILED or EXPIRED: no further attempt is made; and, of no account, rows "
    "of the outbox that were refused. Worry above 5 % of what is sent; `mailproxy message list "
    "--state failed` and `mailproxy reports` name them.",
    ACCOUNT, registry=OWN,
)  # fmt: skip
DEFERRED = Counter(
    "gmp_deferred_total",
    "Attempts that ended without success and are followed by another. Worry when it grows faster "
    "than gmp_sent_total: the relay refuses or cannot be reached.",
    ACCOUNT, registry=OWN,
)  # fmt: skip
RATE_LIMITED = Counter(
    "gmp_rate_limited_total",
    "Times that due mail found the account's limits used up (limit_behavior defer), and recipients "
    "that were failed for it (reject). Worry when it grows all day: the limits are too low for the "
    "load.",
    ACCOUNT, registry=OWN,
)  # fmt: skip

# --- how long things take -------------------------------------------------------------------

SUBMIT_TO_SENT = Histogram(
    "gmp_submit_to_sent_seconds",
    "From the acceptance of a message, or its send_time, to the relay's 250. Worry when the p95 of "
    "immediate and high mail passes what its readers bear.",
    ("priority",), buckets=_WAITS, registry=OWN,
)  # fmt: skip
ATTEMPT = Histogram(
    "gmp_attempt_duration_seconds",
    "One SMTP transaction, with the opening of its connection where it had to. Worry when the p95 "
    "grows: the relay is slow, and connections are held.",
    ("result",), buckets=_TRIES, registry=OWN,
)  # fmt: skip
STATEMENT = Histogram(
    "gmp_database_statement_duration_seconds",
    "Statements of the hot path: claim, settle, intake, reserve, and all others together. Worry "
    "when the p99 of claim passes 100 ms: look at dead tuples and the oldest transaction.",
    ("statement",), buckets=_STATEMENTS, registry=OWN,
)  # fmt: skip
STATEMENT_ERRORS = Counter(
    "gmp_database_statement_errors_total",
    "Statements of the hot path that failed. Worry when it grows: the database is away, slow, or "
    "a migration is missing.",
    ("statement",), registry=OWN,
)  # fmt: skip
LOOP_LAG = Histogram(
    "gmp_event_loop_lag_seconds",
    "By how much a process comes late to what it planned. Worry when the p99 passes 100 ms: it has "
    "no CPU left, add a process or a replica.",
    ("role",), buckets=_LAGS, registry=OWN,
)  # fmt: skip

# --- relays ---------------------------------------------------------------------------------

REPLIES = Counter(
    "gmp_smtp_replies_total",
    "Replies of relays by class (2xx, 3xx, 4xx, 5xx, or fault where none came) and stage of the "
    "dialogue. Worry when 5xx or fault of CONNECT, STARTTLS or AUTH grows: an account cannot send.",
    ("class", "stage"), registry=OWN,
)  # fmt: skip
UNWRITTEN = Gauge(
    "gmp_unwritten_outcomes",
    "Outcomes of attempts that dispatchers know and that are not in the database yet. Worry when "
    "it does not fall: the mail was sent, and a crash now would send it again.",
    multiprocess_mode="livesum", registry=OWN,
)  # fmt: skip
UNWRITTEN_SECONDS = Gauge(
    "gmp_unwritten_oldest_seconds",
    "For how long the oldest of them has waited. Worry above 5: PostgreSQL takes no writes.",
    multiprocess_mode="livemax", registry=OWN,
)  # fmt: skip
CONNECTIONS = Gauge(
    "gmp_smtp_connections",
    "Connections to relays that are open, busy or idle. Worry when busy stays at the sum of "
    "max_connections: the relays are the bottleneck.",
    ("state",), multiprocess_mode="livesum", registry=OWN,
)  # fmt: skip
OPENED = Counter(
    "gmp_smtp_connections_opened_total",
    "Connections to relays that were opened. Worry when it grows as fast as gmp_sent_total: "
    "connections are not used again (idle_ttl, max_messages_per_connection, a relay that closes).",
    registry=OWN,
)

# --- files, reports, database, process ------------------------------------------------------

CHUNKS = Counter(
    "gmp_attachment_chunks_total",
    "Pieces of kept files that were read as mail was sent, from memory (hit) or the database "
    "(miss). Worry when misses of shared files grow: raise MAILPROXY_BLOB_MEMORY_BYTES.",
    ("result",), registry=OWN,
)  # fmt: skip
FILES = Counter(
    "gmp_attachment_files_total",
    "Files that were fetched from their source (fetched), or were kept already (found). Worry when "
    "the same file is fetched again and again: name it by its sha256.",
    ("result",), registry=OWN,
)  # fmt: skip
REPORT_LAG = Gauge(
    "gmp_report_lag_seconds",
    "How old the oldest report is that a stream of this tenant has not been given; 0 when all are "
    "up to date, and when nobody follows. Worry above a minute: a consumer is too slow.",
    ("tenant_id", "tenant_name"), multiprocess_mode="livemax", registry=OWN,
)  # fmt: skip
STREAMS = Gauge(
    "gmp_streams_open",
    "Streams that are open, by service. Worry near MAILPROXY_MAX_STREAMS.",
    ("service",), multiprocess_mode="livesum", registry=OWN,
)  # fmt: skip
DATABASE_CONNECTIONS = Gauge(
    "gmp_database_connections",
    "Connections of the hot path to the database, busy or idle. Worry when idle stays 0: then "
    "statements wait for one another.",
    ("state",), multiprocess_mode="livesum", registry=OWN,
)  # fmt: skip
BUILD = Gauge(
    "gmp_build_info",
    "1, with the versions that run. Worry when two replicas differ for longer than an upgrade.",
    ("version", "python", "grpcio"), multiprocess_mode="livemax", registry=OWN,
)  # fmt: skip

# --- calls, by the names of gRFC A66 --------------------------------------------------------

CALLS_STARTED = Counter(
    "grpc_server_call_started_total",
    "Calls that began. Worry when it falls to 0: callers do not reach this server.",
    ("grpc_method",), registry=OWN,
)  # fmt: skip
CALLS = Histogram(
    "grpc_server_call_duration_seconds",
    "Calls that ended, by status; streams for as long as they were open. Worry when the p99 of "
    "SubmitMessage passes 50 ms, or UNAVAILABLE and INTERNAL grow.",
    ("grpc_method", "grpc_status"), buckets=_CALLS, registry=OWN,
)  # fmt: skip
CALLS_RECEIVED = Histogram(
    "grpc_server_call_rcvd_total_compressed_message_size_bytes",
    "Bytes of the requests of a call; counted before compression, which Python does not see. Worry "
    "near MAILPROXY_MAX_MESSAGE_BYTES.",
    ("grpc_method", "grpc_status"), buckets=_SIZES, registry=OWN,
)  # fmt: skip
CALLS_SENT = Histogram(
    "grpc_server_call_sent_total_compressed_message_size_bytes",
    "Bytes of the responses of a call; counted before compression, which Python does not see. "
    "Nothing to worry about by itself.",
    ("grpc_method", "grpc_status"), buckets=_SIZES, registry=OWN,
)  # fmt: skip
