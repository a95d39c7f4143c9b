"""Templates by the client and by the command line."""

import asyncio
import json
from pathlib import Path

import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.message import Message, to_request
from mailproxy.sync import MailProxyClient
from mailproxy_server.cli.root import app
from typer.testing import CliRunner

from tests.support.relay import ScriptedRelay
from tests.support.served import TOKEN, Front, dispatching, front_on


async def test_the_client_keeps_renders_and_sends_them(database_url: str) -> None:
    async with (
        ScriptedRelay() as relay,
        front_on(database_url) as front,
        dispatching(front),
        AsyncMailProxyClient(front.address, TOKEN) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=relay.port, tls="none")
        made = await client.create_template("hi", subject="Hi {{ name }}", text_body="{{ n + 1 }}")
        assert list(made.variables) == ["n", "name"]
        shown = await client.render_template("hi", {"name": "Ann", "n": 1})
        assert (shown.subject, shown.text_body) == ("Hi Ann", "2")
        await client.update_template("hi", html_body="<b>{{ name }}</b>", etag=made.etag)
        message = Message(from_address="a@a.test", to="b@b.test", template="hi")
        given: Message = {**message, "variables": {"name": "<Ann>", "n": 2}}
        await client.submit(**given)
        await relay.until(lambda: relay.messages, "it came")
        assert relay.messages[0].header("Subject") == "Hi <Ann>"
        with pytest.raises(errors.InvalidRequestError, match="required by the template"):
            await client.submit(**message)
        with MailProxyClient(front.address, TOKEN) as threaded:
            listed = await asyncio.to_thread(threaded.list_templates)
            assert [each.template_id for each in listed] == ["hi"]
            await asyncio.to_thread(threaded.delete_template, "hi")
        with pytest.raises(errors.NotFoundError):
            await client.get_template("hi")


def test_variables_need_a_template_and_neither_goes_with_raw_mime() -> None:
    with pytest.raises(errors.InvalidRequestError, match="template_id"):
        to_request(Message(from_address="a@a.test", to="b@b.test", variables={"a": 1}))
    with pytest.raises(errors.InvalidRequestError, match="leave out template"):
        to_request(Message(raw_mime=b"", template="a"))


async def test_the_command_keeps_shows_renders_and_sends_them(front: Front, tmp_path: Path) -> None:
    environment = {"MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN, "COLUMNS": "200"}

    async def run(*arguments: str, stdin: str | None = None, code: int = 0) -> str:
        done = await asyncio.to_thread(
            CliRunner().invoke, app, arguments, env=environment, input=stdin
        )
        assert done.exit_code == code, done.output
        return done.output

    text = tmp_path / "text"
    text.write_text("Dear {{ name }},\n{% for i in items %}- {{ i }}\n{% endfor %}")
    made = await run("template", "set", "o", "--subject", "Hi", "--text-file", str(text))
    assert made == "o takes items, name\n"
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"items": ["one", "two"]}))
    how = ("--variables-file", str(given), "--var", "name=Ann")
    assert "- one\n- two" in await run("template", "render", "o", *how)
    assert await run("template", "render", "o", *how, "--part", "subject") == "Hi\n"
    assert "items, name" in await run("template", "list")
    assert "{% for" in await run("template", "show", "o")
    sent = ("send", "--from", "a@a.test", "--to", "b@b.test", "--template", "o")
    assert "Queued" in await run(*sent, *how)
    assert "required by the template" in await run(*sent, code=1)
    assert "Deleted o" in await run("template", "delete", "o")
    assert "There is none" in await run("template", "list")
