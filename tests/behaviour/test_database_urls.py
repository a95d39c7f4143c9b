"""A real server starts, takes mail in and sends it, by every form of URL that psql takes."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from mailproxy import AsyncMailProxyClient, MailProxyError

from tests.support.postgres import open_folder
from tests.support.postgres_alone import PASSWORD, Alone, postgres_alone
from tests.support.relay import ScriptedRelay
from tests.support.replicas import client_of, environment_of, replica
from tests.support.serving import REAL, Run, ended_after

pytestmark = [pytest.mark.needs_debian("postgresql-15"), pytest.mark.timeout(180)]
USERS = "mailproxy"


@dataclass
class Place:
    """A PostgreSQL with one database, and what is around it."""

    server: Alone
    folder: Path
    database: str = "mail"

    def tcp(self, query: str, **more: str) -> str:
        return self.server.tcp_url_of(self.database, query, **more)

    @property
    def ca(self) -> str:
        return quote(str(self.server.authority), safe="")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One for all tests of this file, in a loop of its own."""
    runner = asyncio.Runner()
    with open_folder() as folder, runner:
        opened = postgres_alone(folder)
        server = runner.run(opened.__aenter__())
        runner.run(server.make_database("mail"))
        yield Place(server, folder)
        runner.run(opened.__aexit__(None, None, None))


async def sends(run: Run, relay: ScriptedRelay, client: AsyncMailProxyClient) -> None:
    """Have it take one mail in and send it."""
    before = len(relay.messages)
    await client.update_account(
        "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
    )
    one = await client.submit(from_address="a@a.test", to="b@b.test", text="x", account="shop")
    await one.wait()
    await relay.until(lambda: len(relay.messages) > before, "sent")
    assert run.process.poll() is None


async def works(place: Place, url: str, variables: Mapping[str, str] | None = None) -> None:
    async with (
        ScriptedRelay({}) as relay,
        replica(place.folder, url, variables=variables) as run,
        client_of(run) as client,
    ):
        await sends(run, relay, client)
        used = await place.server.fetchval(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE datname = $1 AND client_addr IS NOT NULL",
            place.database,
        )
        assert used in (True, None), "over TCP by TLS alone"
        assert run.err == ""


async def test_a_certificate_that_is_verified_in_full(place: Place) -> None:
    await works(place, place.tcp(f"sslmode=verify-full&sslrootcert={place.ca}"))


async def test_tls_without_verifying_and_what_is_about_the_clients_side(place: Place) -> None:
    await works(
        place,
        place.tcp(
            "sslmode=require&connect_timeout=7&keepalives_idle=9&tcp_user_timeout=9000"
            "&application_name=shop&options=-c%20work_mem%3D8MB&target_session_attrs=read-write"
            "&gssencmode=prefer&channel_binding=prefer&client_encoding=utf8"
        ),
    )


@contextmanager
def blackhole() -> Iterator[int]:
    """Have a port that takes no connection and refuses none: its queue is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_the_second_of_two_hosts_when_the_first_one_is_dead(place: Place) -> None:
    hosts = f"localhost:1,localhost:{place.server.port}"
    await works(
        place,
        place.tcp(
            f"sslmode=verify-full&sslrootcert={place.ca}&target_session_attrs=read-write",
            host=hosts,
        ),
    )


async def test_the_second_of_two_hosts_when_the_first_one_swallows_all(place: Place) -> None:
    with blackhole() as port:
        hosts = f"localhost:{port},localhost:{place.server.port}"
        await works(place, place.tcp("sslmode=require&connect_timeout=1", host=hosts))


async def test_a_socket_in_the_place_of_the_host(place: Place) -> None:
    folder = quote(str(place.server.folder), safe="")
    await works(place, f"postgresql://mailproxy@{folder}:{place.server.port}/mail")


def passfile_of(place: Place) -> Path:
    path = place.folder / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    path.write_text(f"localhost:{place.server.port}:*:mailproxy:{escaped}\n")
    path.chmod(0o600)
    return path


async def test_a_password_in_a_file_that_the_url_names(place: Place) -> None:
    file = quote(str(passfile_of(place)), safe="")
    url = f"postgresql://mailproxy@localhost:{place.server.port}/mail"
    await works(place, f"{url}?sslmode=require&passfile={file}")


async def test_a_short_url_and_the_rest_in_the_variables_of_psql(place: Place) -> None:
    variables = {
        "PGHOST": "localhost",
        "PGPORT": str(place.server.port),
        "PGUSER": "mailproxy",
        "PGDATABASE": "mail",
        "PGPASSFILE": str(passfile_of(place)),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(place.server.authority),
        "PGCONNECT_TIMEOUT": "7",
        "PGTARGETSESSIONATTRS": "read-write",
    }
    await works(place, "postgresql://", variables)


async def answer(client: AsyncMailProxyClient) -> str:
    """Submit once and give the status."""
    try:
        await client.submit(
            from_address="a@a.test", to="b@b.test", text="x", account="shop", timeout=5
        )
    except MailProxyError as error:
        return error.code.name
    return "OK"


@asynccontextmanager
async def served_by_a_file(place: Place, file: Path) -> AsyncIterator[tuple[Run, ScriptedRelay]]:
    data_dir = place.folder / f"filed-{os.urandom(3).hex()}"
    environment = environment_of("") | {"MAILPROXY_DATABASE_URL_FILE": str(file)}
    del environment["MAILPROXY_DATABASE_URL"]
    with ended_after(data_dir):
        run = Run(data_dir, environment=environment, program=REAL)
        await asyncio.to_thread(run.ready)
        async with ScriptedRelay({}) as relay:
            yield run, relay
        await asyncio.to_thread(run.stop)


async def test_a_password_that_is_rotated_in_the_urls_file_while_it_runs(place: Place) -> None:
    file = place.folder / "url"
    file.write_text(place.tcp("sslmode=require") + "\n")
    try:
        async with served_by_a_file(place, file) as (run, relay), client_of(run) as client:
            await sends(run, relay, client)
            await place.server.set_password("second one")
            await place.server.end_sessions("mail")
            seen = {await answer(client) for _ in range(5)}
            assert seen == {"UNAVAILABLE"}, "no session can be made by the old password"
            file.write_text(place.tcp("sslmode=require", password="second one"))
            async with asyncio.timeout(30):
                while (one := await answer(client)) != "OK":
                    assert one == "UNAVAILABLE"
            await sends(run, relay, client)
            assert "second one" not in run.err + run.out
            assert "INTERNAL" not in run.err
    finally:
        await place.server.set_password(PASSWORD)


@pytest.mark.parametrize(
    ("words", "query", "password"),
    [
        ("certificate verify failed", "sslmode=verify-full&sslrootcert={other}", PASSWORD),
        ("password authentication failed", "sslmode=require", "s3cret-guess"),
        ("unknown parameter 'sslmod'; did you mean 'sslmode'?", "sslmod=require", "s3cret-guess"),
        ("no pg_hba.conf entry", "sslmode=disable", "s3cret-guess"),
        ("connect_timeout is a whole number", "connect_timeout=soon", "s3cret-guess"),
        ("parameter 'requirepeer' is not supported", "requirepeer=x", "s3cret-guess"),
    ],
)
async def test_a_url_that_will_not_do_is_one_line_that_names_the_setting_and_no_secret(
    place: Place, words: str, query: str, password: str
) -> None:
    other = quote(str(place.server.other_authority), safe="")
    url = place.tcp(query.format(other=other), password=password)
    data_dir = place.folder / f"refused-{os.urandom(3).hex()}"
    with ended_after(data_dir):
        run = Run(data_dir, environment=environment_of(url), program=REAL)
        assert await asyncio.to_thread(run.wait, 60) == 1
    lines = run.err.splitlines()
    assert len(lines) == 1, run.err
    assert "MAILPROXY_DATABASE_URL" in lines[0]
    assert words in lines[0]
    for secret in (password, quote(password, safe="")):
        assert secret not in run.err + run.out
