"""What a message gives a template: all of its variables, and no others; each refusal names one."""

from typing import Any

import pytest

from tests.support.calling import request
from tests.support.served import Front
from tests.support.templates import GIVEN, ORDER, manage, templated

AT = "email.templated"


@pytest.mark.parametrize(
    ("email", "fields", "words"),
    [
        (templated({"name": "Ann"}), ("variables.order",), "required by the template"),
        (templated({}), ("variables.name", "variables.order"), "required by the template"),
        (templated(GIVEN | {"nmae": 1}), ("variables.nmae",), "it has name, order"),
        (templated(GIVEN | {"order": {"id": 1}}), ("variables",), "no attribute 'lines'"),
        (templated(GIVEN | {"order": 3}), ("variables",), "has no attribute"),
        (templated(GIVEN, "no id"), ("template_id",), "required"),
        (templated(GIVEN, subject="own"), ("message.subject",), "comes from the template"),
        (templated(GIVEN, html_body="own"), ("message.html_body",), "comes from the template"),
        (templated(GIVEN, to=[]), ("message.to",), "at least one recipient"),
        (templated(GIVEN, to=[{"address": "x"}]), ("message.to[0].address",), "needs a local part"),
        (templated(GIVEN | {"name": "x" * 300_000}), ("variables",), "at most 262,144"),
        (templated(GIVEN | {"name": "a\0b"}), ("message.subject",), "U+0000"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_by_name(
    front: Front, email: Any, fields: tuple[str, ...], words: str
) -> None:
    await manage(front.first, **ORDER)
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, request(email))
    assert refusal.fields == tuple(f"{AT}.{field}" for field in fields)
    assert words in refusal.message


async def test_line_breaks_of_variables_make_no_header(front: Front) -> None:
    """White space of a subject becomes a space, so nothing after it begins a field."""
    await manage(front.first, subject="Hi {{ a }}", text_body="x")
    sent = await front.first.submit(templated({"a": "x\r\nBcc: eve@evil.test"}))
    assert (await front.first.get(sent.message_id)).subject == "Hi x Bcc: eve@evil.test"
