"""A real Prometheus over two replicas: sums are the truth, panels have answers, alerts fire."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from mailproxy import AsyncMailProxyClient
from mailproxy_server.app.ports import hold

from tests.support.debian import require
from tests.support.programs import drained
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.replicas import client_of, replica
from tests.support.served import ANYWHERE
from tests.support.serving import ROOT, Run
from tests.support.watched import number, promtool

pytestmark = pytest.mark.needs_debian("prometheus")
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
VARIABLES = {"$tenant": ".*", "$account": ".*", "$__rate_interval": "30s"}


@dataclass
class Prometheus:
    url: str
    http: aiohttp.ClientSession

    async def ask(self, path: str, **query: str) -> Any:
        async with self.http.get(f"{self.url}/api/v1/{path}", params=query) as answer:
            told = await answer.json()
            assert told["status"] == "success", (query, told)
            return told["data"]

    async def query(self, expression: str) -> dict[str, float]:
        """Give the values of an instant query, by their labels in JSON."""
        found = await self.ask("query", query=expression)
        return {
            json.dumps(one["metric"], sort_keys=True): float(one["value"][1])
            for one in found["result"]
        }

    async def until(self, expression: str, wanted: float) -> None:
        found: dict[str, float] = {}
        try:
            async with asyncio.timeout(40):
                while list(found.values()) != [wanted]:
                    await asyncio.sleep(0.2)
                    found = await self.query(expression)
        except TimeoutError:
            raise AssertionError(f"{expression}: {found}, and not {wanted}") from None


@asynccontextmanager
async def prometheus(folder: Path, *targets: str) -> AsyncIterator[Prometheus]:
    """Scrape these each half second, with the project's alerts made quicker, until the end."""
    folder.mkdir()
    rules = "".join(
        line for line in RULES.read_text().splitlines(keepends=True) if " for: " not in line
    )
    (folder / "alerts.yml").write_text(rules)
    scrape = {"job_name": "mailproxy", "static_configs": [{"targets": list(targets)}]}
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(folder / "alerts.yml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    held, listen = hold(ANYWHERE, "PROMETHEUS")
    held.close()
    require("prometheus")
    with (folder / "log").open("wb") as log:
        program = drained(
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address={listen}",
            stdout=log, stderr=log,
        )  # fmt: skip
        async with program, aiohttp.ClientSession() as http:
            yield Prometheus(f"http://{listen}", http)


def port_of(run: Run) -> str:
    return run.out.split("http=")[1].split()[0]


def refusing(seen: Seen) -> str | None:
    return "550 5.1.1 no" if "nobody" in seen.line else None


async def ready(here: Prometheus) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await here.until('count(up{job="mailproxy"} == 1)', 2)
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def test_two_replicas_add_up_panels_have_answers_and_alerts_fire(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        ScriptedRelay({"RCPT": refusing}) as relay,
        ScriptedRelay({"AUTH": "535 5.7.8 no"}) as broken,
        replica(tmp_path, database_url) as one,
        replica(tmp_path, database_url) as two,
        client_of(one) as client,
        client_of(two) as other,
        prometheus(tmp_path / "prometheus", port_of(one), port_of(two)) as here,
    ):
        await client.update_account(
            "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
        )
        await client.update_account(
            "broken", allow_missing=True, host="127.0.0.1", port=broken.port, tls="none",
            username="u", password="p",
        )  # fmt: skip
        for each in range(30):
            await submit(client if each % 2 else other, "shop", f"u{each}@b.test")
        await submit(client, "shop", *(f"nobody{each}@b.test" for each in range(20)))
        await submit(client, "broken", "c@b.test")
        await ready(here)
        await here.until("sum(gmp_sent_total)", 30)
        await here.until("sum(gmp_errors_total)", 20)
        await here.until('max(gmp_pending_messages{account_id="broken"})', 1)
        await here.until('max(gmp_breaker_open{account_id="broken"})', 1)
        await here.until("max(gmp_dispatchers_alive)", 2)
        firing = 'count(ALERTS{alertname="MailproxyBreakerOpen",alertstate="firing"})'
        await here.until(firing, 1)
        for expression in expressions():
            await here.ask("query", query=expression)
        async with here.http.get(f"http://{port_of(one)}/metrics") as answer:
            assert unknown(await answer.text()) <= {"gmp_report_lag_seconds"}, "nobody follows"


def unknown(text: str) -> set[str]:
    """Give what dashboard and alerts ask for and an exposition does not have."""
    asked = re.findall(r"\b(gmp_\w+|grpc_server_\w+)", RULES.read_text() + " ".join(expressions()))
    names = set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    parts = {f"{name}_{part}" for name in names for part in ("bucket", "count", "sum")}
    return set(asked) - names - parts


async def submit(client: AsyncMailProxyClient, account: str, *recipients: str) -> None:
    await client.submit(from_address="a@a.test", to=recipients, text="Hi.\n", account=account)


def expressions() -> list[str]:
    """Give what the panels of the dashboard ask, with their variables filled in."""
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(found) > 30
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def test_promtool_is_content_with_the_rules_and_they_fire_when_they_should() -> None:
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(RULES.with_name("alerts_test.yml")))


async def test_processes_of_a_run_add_up_and_one_that_died_loses_no_count(
    database_url: str, tmp_path: Path
) -> None:
    settings: dict[str, float | str] = {"fronts": 2, "dispatchers": 2}
    async with (
        ScriptedRelay({}) as relay,
        replica(tmp_path, database_url, settings=settings) as run,
        client_of(run) as client,
        aiohttp.ClientSession() as http,
    ):
        here = Prometheus(f"http://{port_of(run)}", http)

        async def sent() -> float:
            async with http.get(f"{here.url}/metrics") as answer:
                return number(await answer.text(), "gmp_sent_total") or 0

        async def until(wanted: int) -> None:
            async with asyncio.timeout(20):
                while await sent() != wanted:
                    await asyncio.sleep(0.05)

        await client.update_account(
            "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
        )
        for _ in range(10):
            await client.submit(from_address="a@a.test", to="b@b.test", text="x")
        await until(10)
        run.kill_one(" dispatcher ")
        run.kill_one(" dispatcher ")
        for _ in range(10):
            await client.submit(from_address="a@a.test", to="b@b.test", text="x")
        await until(20)
