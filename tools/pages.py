"""Writes the parts of the documentation that repeat what the code says: settings, states, and
what replies mean.

Each stands in its page between two comments that name it. `python -m tools.pages` writes them;
tests/unit/test_docs.py fails when one is stale.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mailproxy_server.mail.delivery import TRANSITIONS, State
from mailproxy_server.mail.transcript import FaultKind, Stage
from mailproxy_server.policy.judgement import NO_CODE, Judgement, Kind, Rule, Scope
from mailproxy_server.policy.rules import FAULTS, LOST, RULES
from mailproxy_server.queue.gauges import Hygiene, Reading
from mailproxy_server.settings import PREFIX, Settings
from mailproxy_server.telemetry import meters
from mailproxy_server.web.gauges import families
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024


def settings() -> Iterator[str]:
    """Give the table of all settings."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        limits = {type(each).__name__.lower(): each for each in field.metadata}
        meaning = " ".join((field.description or "").split())
        if "ge" in limits:
            meaning += f" {said(limits['ge'].ge)} to {said(limits['le'].le)}."
        if get_origin(field.annotation) is Literal:
            meaning += f" One of {', '.join(get_args(field.annotation))}."
        yield f"| `{PREFIX}{name.upper()}` | {default(field.default)} | {meaning} |"


def default(given: Any) -> str:
    """Give a default as it would be set."""
    if given in (None, ()):
        return "unset"
    number, *unit = said(given).split(" ", 1)
    return " ".join([f"`{number.lower()}`", *unit])


def said(given: Any) -> str:
    """Give a value; whole numbers of MiB are told in MiB as well."""
    if isinstance(given, int) and given and given % MIB == 0:
        return f"{given} ({given // MIB} MiB)"
    return str(given)


def states() -> Iterator[str]:
    """Give the diagram of a delivery's states, as Mermaid draws it."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> QUEUED: submitted"
    yield "    QUEUED --> SENDING: claimed"
    yield "    SENDING --> QUEUED: released"
    for (before, event), after in TRANSITIONS.items():
        yield f"    {before.name} --> {after.name}: {event.name}"
    for state in State:
        if state.final:
            yield f"    {state.name} --> [*]"
    yield "```"


def replies() -> Iterator[str]:
    """Give the table of what replies mean, in the order in which the rules are asked."""
    yield "| | after | reply | then | about | reason | why | told by |"
    yield "|---|---|---|---|---|---|---|---|"
    for number, rule in enumerate(RULES, 1):
        reason = f"`{rule.reason.name}`" + (", operator" if rule.hard else "")
        cells = (stages(rule), reply(rule), then(rule), rule.scope, reason, rule.why, rule.source)
        yield f"| {number} | {' | '.join(cells)} |"


def stages(rule: Rule) -> str:
    """Give what the rule's replies answer, in the order of the dialogue."""
    return ", ".join(stage for stage in Stage if stage in rule.stages) or "anything"


def reply(rule: Rule) -> str:
    """Give what a reply must have for the rule to fit."""
    codes = ", ".join(code.ljust(3, "x") for code in rule.codes)
    enhanced = ", ".join("no enhanced code" if e == NO_CODE else e for e in rule.enhanced)
    words = ", ".join(f"`{words.replace('*', '…')}`" for words in rule.words)
    return "; ".join(filter(None, (codes, enhanced, words))) or "any"


def then(rule: Rule) -> str:
    """Give what happens to the message; "again" wherever the account is to blame."""
    if rule.scope is Scope.ACCOUNT or rule.kind is Kind.TRANSIENT:
        return "again"
    failing = rule.codes and all(code.startswith("5") for code in rule.codes)
    return "fails" if failing else "4xx again, 5xx fails"


def faults() -> Iterator[str]:
    """Give the table of what it means when no reply came."""
    yield "| what happened | then | about | reason | why |"
    yield "|---|---|---|---|---|"
    for kind in FaultKind:
        yield fault(kind.replace("_", " "), FAULTS[kind].means, FAULTS[kind].why)
    yield fault(
        "no usable reply after the final dot", LOST, "it may have arrived; see At most once"
    )


def fault(what: str, means: Judgement, why: str) -> str:
    """Give a row of the table of faults."""
    action = "fails" if means.kind is Kind.PERMANENT else "again"
    reason = f"`{means.reason.name}`" + (", operator" if means.hard else "")
    return f"| {what} | {action} | {means.scope} | {reason} | {why} |"


def metrics() -> Iterator[str]:
    """Give the table of all metrics: those of processes, then those of the database."""
    yield "| metric | labels | what it says, and when to worry |"
    yield "|---|---|---|"
    for own in meters.OWN._collector_to_names:
        assert isinstance(own, MetricWrapperBase)
        name = own._name + ("_total" if own._type == "counter" else "")
        yield metric(name, str(own._type), own._labelnames, own._documentation)
    nothing = Hygiene({}, 0.0, 0, 0, 0)
    for one in families(Reading(datetime.now(UTC), [], [], nothing), is_up=True):
        yield metric(one.name, one.type, one._labelnames, one.documentation)


def metric(name: str, kind: str, labels: Iterable[str], words: str) -> str:
    """Give a row of the table of metrics."""
    listed = ", ".join(f"`{each}`" for each in labels)
    return f"| `{name}` ({kind}) | {listed} | {words} |"


PARTS = {
    "metrics": ("docs/watching.md", metrics),
    "settings": ("docs/operating.md", settings),
    "states": ("docs/states.md", states),
    "replies": ("docs/policy.md", replies),
    "faults": ("docs/policy.md", faults),
}


def written(name: str, text: str) -> str:
    """Give a page's text with the part `name` as the code has it now."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return before + begin + "\n".join(PARTS[name][1]()) + "\n" + end + after


def main() -> None:
    """Write all parts."""
    for name, (page, _) in PARTS.items():
        path = ROOT / page
        path.write_text(written(name, path.read_text()))


if __name__ == "__main__":
    main()
