"""Owns how logs are written.

One event a line on stderr, as JSON, or for people on a terminal. Rule: no secrets, no message
bodies, no header values. What libraries log through `logging` comes out the same way.
"""

import logging
import sys
from typing import Any

import structlog

from mailproxy_server.settings import Settings
from mailproxy_server.telemetry import lines


def configure_logging(settings: Settings, *, process: str) -> None:
    """Set logging up for this process; `process` names it in every line. Call once, early."""
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _naming(process),
        lines.traced,
        structlog.processors.format_exc_info,
    ]
    if not settings.log_addresses:
        before.append(lines.masked)
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[lines.Limited(), *before, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_in_libraries(before, renderer, level)


def _naming(process: str) -> Any:
    def name(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", process)
        return event

    return name


def _take_in_libraries(before: list[Any], renderer: Any, level: int) -> None:
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [sink]
    root.setLevel(max(level, logging.WARNING))
    # A database that is away is told once by who asked it, not by each connection of a pool.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
