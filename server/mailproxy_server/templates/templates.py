"""The templates of all tenants: made, changed, removed and read, each in one transaction.

A change locks the template's row; each raises its revision and is announced on `CHANNEL`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mailproxy_server.mail.errors import CallerError
from mailproxy_server.templates.schema import templates
from mailproxy_server.templates.template import Sources, Template

CHANNEL = "mailproxy_templates"
"""Where changes are announced; the payload is "<tenant_id>/<template_id>"."""
NAMED = 10
"""How many template ids an error names."""

Made = tuple[Sources, tuple[str, ...]]
"""What a template holds: its sources and variables."""
Change = Callable[[Template], Awaitable[Made]]
"""Given a template as it is, gives what it shall hold; may raise CallerError."""

_live = templates.c.deleted_at.is_(None)


class Templates:
    """Templates in the database of `engine`. With `validate_only` all is done and rolled back.

    Errors: TEMPLATE_EXISTS, TEMPLATE_NOT_FOUND, ETAG_MISMATCH.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(
        self, tenant_id: UUID, template_id: str, made: Made, *, validate_only: bool = False
    ) -> Template:
        """Make a template."""
        async with self._changing(tenant_id, template_id, validate_only) as connection:
            new = insert(templates).values(
                tenant_id=tenant_id, template_id=template_id, **_columns(made)
            )
            revived = new.on_conflict_do_update(
                index_elements=[templates.c.tenant_id, templates.c.template_id],
                set_={
                    **_columns(made),
                    "revision": templates.c.revision + 1,
                    "created_at": func.now(),
                    "updated_at": func.now(),
                    "deleted_at": None,
                },
                where=templates.c.deleted_at.is_not(None),
            )
            row = (await connection.execute(revived.returning(templates))).one_or_none()
            if row is None:
                words = f"the template {template_id} exists; update it, or choose another id"
                raise CallerError("TEMPLATE_EXISTS", words)
        return _template(row)

    async def update(
        self,
        tenant_id: UUID,
        template_id: str,
        change: Change,
        etag: str = "",
        *,
        validate_only: bool = False,
    ) -> Template:
        """Change a template."""
        async with self._changing(tenant_id, template_id, validate_only) as connection:
            current = await self._current(connection, tenant_id, template_id, etag)
            return _template(await _change(connection, current, _columns(await change(current))))

    async def delete(
        self, tenant_id: UUID, template_id: str, etag: str = "", *, validate_only: bool = False
    ) -> Template:
        """Remove a template; give it as it stood."""
        async with self._changing(tenant_id, template_id, validate_only) as connection:
            current = await self._current(connection, tenant_id, template_id, etag)
            await _change(connection, current, {"deleted_at": func.now()})
        return current

    async def find(self, tenant_id: UUID, template_id: str) -> Template | None:
        """Read a template, or give None when there is none."""
        async with self._engine.connect() as connection:
            row = await _read(connection, tenant_id, template_id)
        return None if row is None else _template(row)

    async def list(self, tenant_id: UUID, after: str = "", limit: int = 100) -> list[Template]:
        """Read up to `limit` templates that follow `after`, by template_id."""
        wanted = (
            select(templates)
            .where(templates.c.tenant_id == tenant_id, templates.c.template_id > after, _live)
            .order_by(templates.c.template_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [_template(row) for row in await connection.execute(wanted)]

    async def missing(self, tenant_id: UUID, template_id: str) -> CallerError:
        """Give the error for a template that is not there."""
        known = [one.template_id for one in await self.list(tenant_id, limit=NAMED + 1)]
        names = ", ".join(known[:NAMED]) + (", …" if len(known) > NAMED else "")
        there = f"known templates: {names}" if known else "there is none yet"
        how = f"make it with `mailproxy template set {template_id or 'ID'} …`"
        words = f"no template {template_id}; {there}; {how}"
        return CallerError("TEMPLATE_NOT_FOUND", words)

    @asynccontextmanager
    async def _changing(
        self, tenant_id: UUID, template_id: str, validate_only: bool
    ) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection, connection.begin() as transaction:
            yield connection
            if validate_only:
                await transaction.rollback()
            else:
                told = func.pg_notify(CHANNEL, f"{tenant_id}/{template_id}")
                await connection.execute(select(told))

    async def _current(
        self, connection: AsyncConnection, tenant_id: UUID, template_id: str, etag: str
    ) -> Template:
        row = await _read(connection, tenant_id, template_id, lock=True)
        if row is None:
            raise await self.missing(tenant_id, template_id)
        current = _template(row)
        if etag and etag != current.etag:
            raise CallerError(
                "ETAG_MISMATCH",
                f"the template {template_id} has changed since it was read: its etag is "
                f"{current.etag}, not {etag}; read it again and repeat the change",
                {"etag": current.etag},
            )
        return current


async def _read(
    connection: AsyncConnection, tenant_id: UUID, template_id: str, *, lock: bool = False
) -> Row[Any] | None:
    """Read one live template by its primary key; `lock` keeps others from changing it."""
    wanted = select(templates).where(
        templates.c.tenant_id == tenant_id, templates.c.template_id == template_id, _live
    )
    found = await connection.execute(wanted.with_for_update(key_share=True) if lock else wanted)
    return found.one_or_none()


async def _change(
    connection: AsyncConnection, current: Template, columns: dict[str, Any]
) -> Row[Any]:
    """Change columns of a template and raise its revision. Row lock; primary key."""
    changed = await connection.execute(
        update(templates)
        .where(
            templates.c.tenant_id == current.tenant_id,
            templates.c.template_id == current.template_id,
        )
        .values(**columns, revision=templates.c.revision + 1, updated_at=func.now())
        .returning(templates)
    )
    row: Row[Any] = changed.one()
    return row


def _columns(made: Made) -> dict[str, Any]:
    sources, variables = made
    return {
        "subject": sources.subject,
        "text_body": sources.text_body,
        "html_body": sources.html_body,
        "variables": list(variables),
    }


def _template(row: Row[Any]) -> Template:
    return Template(
        row.tenant_id,
        row.template_id,
        Sources(row.subject, row.text_body, row.html_body),
        tuple(row.variables),
        row.revision,
        row.created_at,
        row.updated_at,
    )
