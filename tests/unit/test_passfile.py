"""A password file is read as libpq reads it."""

from pathlib import Path

import pytest
from mailproxy_server.queue.passfile import find, password_for

LINES = r"""# hosts of the shop
db:5432:mail:shop:plain
db:*:*:shop:with\:colon\\and backslash
*:*:other:*:any
/run/postgresql:5432:*:shop:socket
localhost:5432:mail:*:local
short:line
"""


@pytest.mark.parametrize(
    ("host", "port", "database", "user", "password"),
    [
        ("db", "5432", "mail", "shop", "plain"),
        ("db", "5433", "mail", "shop", "with:colon\\and backslash"),
        ("db", "5433", "other", "else", "any"),
        ("/run/postgresql", "5432", "x", "shop", "socket"),
        ("localhost", "5432", "mail", "else", "local"),
        ("short", "5432", "mail", "shop", None),
        ("db", "5432", "mail", "else", None),
    ],
)
def test_the_first_line_that_fits_counts(
    host: str, port: str, database: str, user: str, password: str | None
) -> None:
    assert find(LINES, {host}, port, database, user) == password


def test_the_url_and_the_variables_say_for_whom(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(LINES)
    file.chmod(0o600)
    named = {"PGPASSFILE": str(file)}
    assert password_for("postgresql://shop@/mail", "db", None, named) == "plain"
    assert password_for("postgresql:///?user=shop", "db", 1, named | {"PGDATABASE": "x"})
    assert password_for("postgresql:///mail", None, None, named | {"PGUSER": "z"}) == "local"
    assert password_for("postgresql:///mail", "/tmp", None, named | {"PGUSER": "z"}) == "local"
    assert password_for(f"postgresql://shop@/mail?passfile={file}", "db", None, {}) == "plain"
    assert password_for("postgresql://shop@/mail", "db", None, {"PGPASSFILE": "/none"}) is None


def test_a_password_that_is_given_elsewhere_counts_more(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(LINES)
    file.chmod(0o600)
    named = {"PGPASSFILE": str(file)}
    assert password_for("postgresql://shop:p@/mail", "db", None, named) is None
    assert password_for("postgresql://shop@/mail?password=p", "db", None, named) is None
    assert password_for("postgresql://shop@/mail", "db", None, named | {"PGPASSWORD": "p"}) is None
    assert password_for("postgresql://shop@/mail", "db", None, named | {"PGSERVICE": "s"}) is None


def test_a_file_that_others_may_read_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(LINES)
    file.chmod(0o644)
    assert password_for("postgresql://shop@/mail", "db", None, {"PGPASSFILE": str(file)}) is None
