"""Settings that belong to our role in the database, for sessions that cannot bring their own.

PgBouncer in transaction mode gives a statement to whichever server connection is free, and takes no
settings from its clients. So `migrate` gives them to the role, by the direct way.
"""

from mailproxy_server.queue.hot import SETTINGS, Connection
from mailproxy_server.queue.sessions import GUARANTEES

_NOW = """
SELECT unnest(s.setconfig) FROM pg_db_role_setting s
JOIN pg_roles r ON r.oid = s.setrole JOIN pg_database d ON d.oid = s.setdatabase
WHERE r.rolname = current_user AND d.datname = current_database()
"""

_END_IDLE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND state = 'idle'
  AND pid <> pg_backend_pid()
"""
"""A pooler keeps connections that it opened before, with the settings that the role had then; for
those that it loses while nobody uses them it opens new ones."""


def wanted(statement_timeout: float) -> dict[str, str]:
    """Give the settings; `statement_timeout` in seconds. Plans are made anew each time, since
    statements have no names there."""
    hot = {name: value for name, value in SETTINGS.items() if name != "plan_cache_mode"}
    return hot | dict(GUARANTEES) | {"statement_timeout": f"{round(statement_timeout * 1000)}ms"}


async def give(link: Connection, statement_timeout: float) -> list[str]:
    """Give the role of this session its settings in this database, as a role may for itself, and
    end its idle sessions that have others; give the names of those that were others before."""
    there = dict(row[0].split("=", 1) for row in await link.fetch(_NOW))
    role, database = await _quoted_names(link)
    changed = []
    for name, value in wanted(statement_timeout).items():
        # search_path is a list: each of its names stands by itself.
        text = value if name == "search_path" else f"'{value}'"
        if there.get(name) != value:
            await link.execute(f"ALTER ROLE {role} IN DATABASE {database} SET {name} = {text}")
            changed.append(name)
    if changed:
        await link.execute(_END_IDLE)
    return changed


async def _quoted_names(link: Connection) -> tuple[str, str]:
    row = await link.fetchrow("SELECT quote_ident(current_user), quote_ident(current_database())")
    assert row is not None, "a SELECT without FROM gives a row"
    return row[0], row[1]
