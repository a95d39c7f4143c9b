import inspect
import re
import subprocess
import sys
from typing import Any

import pytest
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.aio_accounts import AsyncAccounts
from mailproxy.aio_control import AsyncControl
from mailproxy.aio_reports import AsyncReports
from mailproxy.aio_templates import AsyncTemplates
from mailproxy.aio_uploads import AsyncUploads
from mailproxy.submission import AsyncSubmission, Submission
from mailproxy.sync import MailProxyClient
from mailproxy.sync_accounts import Accounts
from mailproxy.sync_control import Control
from mailproxy.sync_reports import Reports
from mailproxy.sync_templates import Templates
from mailproxy.sync_uploads import Uploads

TWINS = [
    (AsyncMailProxyClient, MailProxyClient),
    (AsyncSubmission, Submission),
    (AsyncControl, Control),
    (AsyncAccounts, Accounts),
    (AsyncUploads, Uploads),
    (AsyncTemplates, Templates),
    (AsyncReports, Reports),
]


def spelling(member: Any) -> str:
    """A member's signature in the words of the threaded twin."""
    if isinstance(member, property):
        return f"property {inspect.signature(member.fget or len)}"
    member = getattr(member, "__func__", member)
    text = re.sub(r"(Async|Aio|Sync)(?=[A-Z])", "", str(inspect.signature(member)))
    return text.replace("aio_", "sync_").replace("mailproxy.aio", "mailproxy.sync")


def members(twin: type) -> dict[str, str]:
    renamed = {"aenter": "enter", "aexit": "exit", "aiter": "iter", "anext": "next"}
    found = {}
    for name, member in vars(twin).items():
        plain = name.strip("_")
        if (not name.startswith("_") or plain in {*renamed, *renamed.values(), "init"}) and (
            callable(member) or isinstance(member, property | classmethod)
        ):
            found[renamed.get(plain, plain)] = spelling(member)
    return found


@pytest.mark.parametrize(("asynchronous", "threaded"), TWINS)
def test_twins_have_the_same_members_with_the_same_signatures(
    asynchronous: type, threaded: type
) -> None:
    assert members(asynchronous) == members(threaded)
    assert members(threaded)


@pytest.mark.parametrize(("asynchronous", "threaded"), TWINS[:6])
def test_what_blocks_in_one_twin_is_awaited_in_the_other(
    asynchronous: type, threaded: type
) -> None:
    not_awaited = {"watch", "delivery_reports", "from_env"}
    for name in set(vars(threaded)) - not_awaited:
        member = vars(asynchronous).get(name)
        if not name.startswith("_") and callable(member):
            assert inspect.iscoroutinefunction(member), name


def test_the_twins_say_the_same_about_each_call() -> None:
    for name in dir(MailProxyClient):
        if not name.startswith("_"):
            member = getattr(MailProxyClient, name)
            assert member.__doc__ == getattr(AsyncMailProxyClient, name).__doc__


def test_loading_the_stubs_does_not_load_the_client() -> None:
    code = (
        "import sys, mailproxy.v1.message_pb2; "
        "print([name for name in sys.modules if name.startswith('mailproxy.') "
        "and not name.startswith('mailproxy.v1')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_everything_that_the_package_names_can_be_had_from_it() -> None:
    import mailproxy

    for name in mailproxy.__all__:
        assert getattr(mailproxy, name).__name__ == name
    assert set(mailproxy.__all__) <= set(dir(mailproxy))
    with pytest.raises(AttributeError):
        _ = mailproxy.nothing
