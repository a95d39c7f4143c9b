"""The identity of the report logs: renewed after a restore, so that lost reports are not mixed up
with those that get their offsets."""

from mailproxy_server.queue.hot import Connection


async def renew(link: Connection) -> int:
    """Begin a new log for every tenant; tell how many there are.

    A restored database has lost what came after its backup: its offsets will be given again, to
    other reports. The trigger of the heads notes where each old log ended. Locks all heads, in
    their order.
    """
    status = await link.execute(
        """WITH heads AS MATERIALIZED (
               SELECT tenant_id FROM mailproxy.report_heads ORDER BY tenant_id FOR NO KEY UPDATE)
           UPDATE mailproxy.report_heads h SET log_id = pg_catalog.gen_random_uuid()
           FROM heads WHERE h.tenant_id = heads.tenant_id"""
    )
    return int(status.rpartition(" ")[2])
