"""Presets: each gives fields that the server takes, and says where they are from."""

import pytest
from mailproxy.accounts import to_account
from mailproxy_server.cli.presets import PRESETS, preset_fields
from mailproxy_server.rpc.account_rules import RULES
from mailproxy_server.rpc.account_whole import columns_of, completed

REGION = {"ses": "eu-west-1", "mailgun": "eu"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_an_account_that_the_server_takes(name: str) -> None:
    fields = preset_fields(name, REGION.get(name, ""))
    account = to_account("a", fields)  # type: ignore[arg-type]
    columns = completed(columns_of(account, RULES), None)
    assert (columns["port"], columns["tls"]) == (587, "starttls")
    assert len(columns["limits"]) == len(PRESETS[name].limits)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_sources(name: str) -> None:
    preset = PRESETS[name]
    assert preset.note
    assert preset.sources
    assert all(source.startswith("https://") for source in preset.sources)


@pytest.mark.parametrize(
    ("name", "region", "host"),
    [
        ("ses", "eu-west-1", "email-smtp.eu-west-1.amazonaws.com"),
        ("ses", "us-gov-west-1", "email-smtp.us-gov-west-1.amazonaws.com"),
        ("mailgun", "", "smtp.mailgun.org"),
        ("mailgun", "us", "smtp.mailgun.org"),
        ("mailgun", "eu", "smtp.eu.mailgun.org"),
        ("gmail", "", "smtp.gmail.com"),
        ("m365", "", "smtp.office365.com"),
        ("sendgrid", "", "smtp.sendgrid.net"),
    ],
)
def test_a_region_chooses_the_host(name: str, region: str, host: str) -> None:
    assert preset_fields(name, region)["host"] == host


@pytest.mark.parametrize(
    ("name", "region", "words"),
    [
        ("ses", "", "needs --region with an AWS region, as eu-west-1"),
        ("ses", "evil.example/", "needs --region"),
        ("mailgun", "mars", "one of us, eu"),
        ("gmail", "eu", "left out"),
        ("hotmail", "", "there are ses, gmail, m365, sendgrid, mailgun"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    name: str, region: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        preset_fields(name, region)


def test_the_numbers_are_those_of_the_providers() -> None:
    numbers = {
        name: (
            each.max_connections,
            each.max_recipients,
            each.max_messages,
            each.limits,
        )
        for name, each in PRESETS.items()
    }
    assert numbers == {
        "ses": (10, 50, 100, ()),
        "gmail": (3, 100, 100, ("2000/day:messages", "10000/day")),
        "m365": (3, 500, 0, ("30/min:messages", "10000/day")),
        "sendgrid": (20, 1000, 5000, ()),
        "mailgun": (10, 1000, 0, ()),
    }


def test_credentials_are_no_part_of_a_preset_but_for_a_name_that_all_share() -> None:
    with_names = {
        name for name in PRESETS if "username" in preset_fields(name, REGION.get(name, ""))
    }
    assert with_names == {"sendgrid"}
