"""A report log that refuses what is appended, by SQLSTATE: as a full disk or a fenced server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_REFUSE = """
CREATE FUNCTION mailproxy.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {when} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON mailproxy.report_log
FOR EACH ROW EXECUTE FUNCTION mailproxy.refuse()
"""


@asynccontextmanager
async def refusing_log(url: str, state: str, when: str = "true") -> AsyncIterator[None]:
    """Refuse what `when` (over NEW) says for the length of the block; all else works."""
    link = await asyncpg.connect(url)
    try:
        await link.execute(_REFUSE.format(state=state, when=when))
        try:
            yield
        finally:
            await link.execute("DROP FUNCTION mailproxy.refuse CASCADE")
    finally:
        await link.close()
