"""The identity of the report logs: renewed after a restore, so that old cursors are refused."""

from mailproxy_server.queue.hot import Connection


async def renew(link: Connection) -> int:
    """Give every tenant's log a new id; tell how many there are.

    A restored database has lost what came after its backup: its offsets will be given again,
    to other reports, and a cursor from before would skip or repeat in silence. Locks all heads.
    """
    status = await link.execute("UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()")
    return int(status.rpartition(" ")[2])
