"""One line for each thing that happens to a delivery, while MAILPROXY_DELIVERY_ACTIVITY is on.

"attempt" when a transaction ended, and then what was written of each recipient: "sent",
"deferred", "failed", "expired", "cancelled", "captured". Recipients by their domain, unless
addresses are allowed in the log; then the relay's words are there too.
"""

from typing import Any
from uuid import UUID

import structlog

from mailproxy_server.mail.address import domain_of
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.transcript import Reply, Transcript
from mailproxy_server.telemetry.lines import DELIVERY

Key = tuple[UUID, str]
"""Tenant and account."""


class Activity:
    """The lines of one process."""

    def __init__(self, addresses: bool) -> None:
        self._addresses = addresses
        self._log = structlog.get_logger()

    def attempted(
        self, key: Key, message_id: UUID, traceparent: str | None, transcript: Transcript
    ) -> None:
        """A transaction ended."""
        last = transcript.exchanges[-1] if transcript.exchanges else None
        said: dict[str, Any] = {"relay": transcript.relay_host}
        if last is not None:
            said |= {"stage": last.stage.value, "milliseconds": last.elapsed_ms}
            said |= self._answer(last.answer)
        self._write("attempt", key, message_id, traceparent, said)

    def settled(
        self,
        key: Key,
        message_id: UUID,
        traceparent: str | None,
        recipient: str,
        attempt: int,
        outcome: Outcome,
    ) -> None:
        """An outcome was written."""
        said: dict[str, Any] = {"recipient_domain": domain_of(recipient), "attempt": attempt}
        if self._addresses:
            said["recipient"] = recipient
        if outcome.reason:
            said["reason"] = outcome.reason.name
        if outcome.reply is not None:
            said |= self._answer(outcome.reply)
        if outcome.retry_in is not None:
            said["retry_in"] = round(outcome.retry_in, 1)
        self._write(outcome.event.name.lower(), key, message_id, traceparent, said)

    def _answer(self, answer: object) -> dict[str, Any]:
        if not isinstance(answer, Reply):
            return {"fault": getattr(answer, "kind", "unknown")}
        said: dict[str, Any] = {"code": answer.code}
        if answer.enhanced:
            said["enhanced"] = answer.enhanced
        if self._addresses and answer.text:
            said["text"] = answer.text[:500]
        return said

    def _write(
        self,
        event: str,
        key: Key,
        message_id: UUID,
        traceparent: str | None,
        said: dict[str, Any],
    ) -> None:
        parts = (traceparent or "").split("-")
        if len(parts) > 2:
            said["trace_id"] = parts[1]
        self._log.info(
            event,
            kind=DELIVERY,
            tenant_id=str(key[0]),
            account=key[1],
            message_id=str(message_id),
            **said,
        )
