"""The names by which the hot statements are shown: in metrics and spans. Pure."""

from mailproxy_server.queue import claim, enqueue, reserve, settle

OTHER = "other"

_NAMES = {
    claim.CLAIM: "claim",
    claim.OLDEST: "claim",
    enqueue.INSERT: "intake",
    reserve.LOCK: "reserve",
    settle.SETTLE: "settle",
}


def name_of(sql: str) -> str:
    """Give the name of a statement; OTHER for those that are not hot."""
    return _NAMES.get(sql, OTHER)
