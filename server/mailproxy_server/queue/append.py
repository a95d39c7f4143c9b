"""Appending to the report log: the one SQL fragment by which every event gets its offset. Pure.

Offsets of a tenant have no gap and rise in the order of commits, since each is given under the lock
of the tenant's head, which is held until the commit. The heads are locked in one order, or two that
append for the same tenants would deadlock. `reported_at` never goes back, so that day and offset
agree although the database's clock may.
"""

from collections.abc import Mapping

HEADS = """SELECT tenant_id FROM mailproxy.report_heads
    WHERE tenant_id IN (SELECT tenant_id FROM events) ORDER BY tenant_id FOR NO KEY UPDATE"""


def appended(columns: Mapping[str, str], order: str = "1", heads: str = HEADS) -> str:
    """Give the end of a statement that appends what its CTE `events` holds, a row an event.

    The text follows that CTE. `columns` are those of report_log beside tenant_id, log_offset and
    reported_at, each with its expression over a row `e` of `events`; `order` is the order within a
    tenant. What follows may be RETURNING. `heads` is another lock only in a test that shows what
    this one is good for.
    """
    return f"""heads AS MATERIALIZED (
    {heads}
), raised AS (
    UPDATE mailproxy.report_heads h
    SET last_offset = h.last_offset + c.n, last_at = greatest(h.last_at, clock_timestamp())
    FROM (SELECT tenant_id, count(*) AS n FROM events JOIN heads USING (tenant_id)
          GROUP BY tenant_id) c
    WHERE h.tenant_id = c.tenant_id
    RETURNING h.tenant_id, h.last_offset - c.n AS base, h.last_at
)
INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, {", ".join(columns)})
SELECT e.tenant_id, raised.base + row_number() OVER (PARTITION BY e.tenant_id ORDER BY {order}),
    raised.last_at, {", ".join(columns.values())}
FROM events e JOIN raised ON raised.tenant_id = e.tenant_id
"""  # noqa: S608 - no input is in the text


def same(*names: str) -> dict[str, str]:
    """Give columns that `events` has by the log's own names."""
    return {name: f"e.{name}" for name in names}
