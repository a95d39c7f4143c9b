"""What is in deploy/, as far as tools can tell without a container engine and a cluster."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mailproxy_server.settings import Settings

from tests.support.debian import require
from tests.support.postgres import Cluster
from tests.support.replicas import environment_of
from tests.support.serving import ROOT

DEPLOY = ROOT / "deploy"
PROGRAMS = Path(sys.executable).parent


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), env=os.environ | environment, capture_output=True, text=True,
        timeout=110, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    assert run(PROGRAMS / "hadolint", DEPLOY / "Dockerfile") == ""


@pytest.mark.parametrize("version", ["1.30", "1.33"])
def test_the_manifests_are_what_kubernetes_takes(version: str) -> None:
    run(
        PROGRAMS / "kubernetes-validate", "--strict", "--quiet", "-k", version,
        *sorted((DEPLOY / "kubernetes").glob("*.yaml")),
    )  # fmt: skip


def test_each_probe_has_a_time_limit_and_the_supervisor_comes_before_the_liveness() -> None:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/mailproxy.yaml").read_text())
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "readinessProbe", "livenessProbe"}
    for probe in probes.values():
        assert 1 < probe["timeoutSeconds"] <= probe["periodSeconds"]
    liveness = probes["livenessProbe"]
    hung = Settings.model_fields["hung_seconds"].default
    assert liveness["periodSeconds"] * (liveness["failureThreshold"] - 1) > hung


@pytest.mark.needs_debian("docker-compose")
def test_the_compose_file_is_valid_and_its_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets"))
    (folder / "secrets").mkdir()
    make = Path(shutil.copy(DEPLOY / "secrets/make", folder / "secrets/make"))
    run(make)
    before = {file.name: file.read_text() for file in make.parent.iterdir()}
    run(make)
    assert {file.name: file.read_text() for file in make.parent.iterdir()} == before
    shown = run(require("docker-compose"), "-f", folder / "compose.yaml", "config")
    composed = yaml.safe_load(shown)
    for secret in composed["secrets"].values():
        assert Path(secret["file"]).read_text().strip()
    for volume in composed["services"]["prometheus"]["volumes"]:
        source = volume.split(":")[0]
        assert not source.startswith("/") or Path(source).exists()


@pytest.mark.needs_debian("systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "mailproxy.service"
    text = (DEPLOY / "systemd/mailproxy.service").read_text()
    unit.write_text(text.replace("/opt/mailproxy/bin/mailproxy", str(PROGRAMS / "mailproxy")))
    run(require("systemd"), "verify", unit)
    run(require("systemd"), "security", "--offline=true", "--threshold=30", unit)


async def test_what_the_image_installs_is_whole(postgres: Cluster, tmp_path: Path) -> None:
    """The Dockerfile's own commands, without the engine: both packages, not editable."""
    site, sources = tmp_path / "site", tmp_path / "sources"
    allowed = [
        line[1:].strip() for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]  # fmt: skip
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in allowed:
        source, target = ROOT / name, sources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    await asyncio.to_thread(
        run, sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
        "--disable-pip-version-check", "--target", site, sources / "clients/python", sources,
    )  # fmt: skip
    package = site / "mailproxy_server"
    for part in ("web/static/index.html", "web/static/vendor/uplot/uPlot.js", "py.typed"):
        assert (package / part).is_file()
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    here = environment_of(url) | {"PYTHONPATH": str(site)}
    where = "import mailproxy_server; print(mailproxy_server.__file__)"
    assert run(sys.executable, "-P", "-c", where, **here).startswith(str(site))
    migrated = await asyncio.to_thread(
        run, sys.executable, "-P", "-m", "mailproxy_server", "migrate", **here
    )
    assert migrated == "The database is up to date.\n"
    await asyncio.to_thread(postgres.drop_database, url)
