"""A span for a statement, by OpenTelemetry's conventions for databases. Imported only on demand."""

import time

from opentelemetry.trace import SpanKind, StatusCode, Tracer


def statement_span(
    tracer: Tracer, name: str, sql: str, seconds: float, error: BaseException | None
) -> None:
    """Make the span of a statement that ended just now. Its text has no values in it: those went
    beside it."""
    now = time.time_ns()
    span = tracer.start_span(
        f"postgresql {name}",
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.operation.name": name,
            "db.query.text": " ".join(sql.split())[:2048],
        },
        start_time=now - int(seconds * 1e9),
    )
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
    span.end(now)
