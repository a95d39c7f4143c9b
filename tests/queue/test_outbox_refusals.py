"""A row that cannot be queued stays with its field and is reported; the others pass it by."""

import asyncio
import base64
import json
from typing import Any

import pytest
from mailproxy_server.content.codec import restore

from tests.support.outbox_desk import EMAIL, LARGEST, Desk, email

BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "email.composed"),
    "a list": ("[]", "email"),
    "a number": ("7", "email"),
    "null": ("null", "email"),
    "an unknown field": (email(colour="red"), "email.composed.colour"),
    "a field of another kind": (email(subject=7), "email.composed.subject"),
    "one in place of many": (email(to="ann@b.test"), "email.composed.to"),
    "deep nesting": ('{"composed":' * 3000 + "1" + "}" * 3000, "email"),
    "deep lists": ('{"composed":' + "[" * 3000 + "]" * 3000 + "}", "email"),
    "NUL": (email(subject="a\u0000b"), "email.composed.subject"),
    "NUL in a name": ('{"a\\u0000b": 1}', 'email."a\\u0000b"'),
    "a surrogate alone": ('{"composed": {"subject": "\\ud800"}}', "email.composed.subject"),
    "a surrogate in a name": ('{"\\ud800": 1}', 'email."\\ud800"'),
    "a huge number": ('{"priority": ' + "9" * 9000 + "}", "email.priority"),
    "a number past all bounds": ('{"priority": 1e400}', "email.priority"),
    "an unknown priority": (EMAIL | {"priority": "URGENT"}, "email.priority"),
    "a time that is none": (EMAIL | {"send_time": "soon"}, "email.send_time"),
    "a bad address": (email(to=[{"address": "x"}]), "email.composed.to[0].address"),
    "broken base64": (
        email(attachments=[{"filename": "a", "content": "%%"}]),
        "email.composed.attachments[0].content",
    ),
    "no such account": (EMAIL | {"account_id": "none"}, "email.account_id"),
    "too large": (email(text_body="x" * (LARGEST + 1)), "email"),
    "far too large": (email(text_body="x" * (3 * LARGEST)), "email"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_valid_stays_and_is_reported_and_stops_nothing(
    desk: Desk, name: str
) -> None:
    given, field = BAD[name]
    await desk.submit(given, "order-9")
    await desk.submit()
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 1
    ((found, error),) = await desk.refused()
    assert found == field
    assert error
    (report,) = await desk.queue.reports()
    assert (report.event, report.reason, report.log_offset, report.recipient) == (3, 35, 1, "")
    assert report.detail is not None
    assert report.detail.startswith(f"{field}: {error}")
    assert report.detail.endswith(", request_id order-9)")
    assert desk.told[-1] == ({f"{desk.queue.tenant_id}/demo"}, {str(desk.queue.tenant_id)})
    assert await desk.move() == 0, "it is looked at once"
    assert desk.bugs == []


@pytest.mark.parametrize(
    ("request_id", "field"), [("x" * 129, "request_id"), ("a\nb", "request_id")]
)
async def test_a_request_id_that_is_none_is_refused(
    desk: Desk, request_id: str, field: str
) -> None:
    await desk.submit(request_id=request_id)
    assert await desk.move() == 1
    assert [each[0] for each in await desk.refused()] == [field]


async def test_a_row_that_was_corrected_is_queued(desk: Desk) -> None:
    await desk.submit({})
    await desk.move()
    await desk.app.execute(
        "UPDATE mailproxy.outbox SET email = $1::text::json, refused_at = NULL", json.dumps(EMAIL)
    )
    assert await desk.move_late() == 1
    assert await desk.queue.count("outbox") == 0


async def test_a_row_for_no_tenant_stays(desk: Desk) -> None:
    desk.tenant = "nobody"
    await desk.submit()
    assert await desk.move() == 1
    assert await desk.refused() == [("tenant", "there is no such tenant")]
    assert await desk.queue.reports() == []


async def test_many_refusals_leave_no_gap_beside_others_that_report(desk: Desk) -> None:
    await desk.queue.submit_many(200)
    await desk.insert(1200, {})

    async def send() -> None:
        while rows := await desk.queue.claim(10):
            await desk.queue.settle(rows)

    movers = [desk.another_mover() for _ in range(2)]
    await asyncio.gather(send(), *(_drain(mover) for mover in movers))
    offsets = [report.log_offset for report in await desk.queue.reports()]
    assert offsets == list(range(1, 1401))


async def _drain(mover: Any) -> None:
    while await mover.move():
        pass


async def test_what_the_database_alone_does_not_take_is_refused_and_told(desk: Desk) -> None:
    await desk.app.execute(
        "ALTER TABLE mailproxy.messages ADD CHECK (return_path <> 'poison@a.test')"
    )
    for number in range(5):
        poison = email(from_address={"address": "poison@a.test"})
        await desk.submit(poison if number == 2 else EMAIL)
    await desk.move()
    assert await desk.queue.count("messages") == 4
    ((field, error),) = await desk.refused()
    assert field == "email"
    assert "CheckViolationError" in error
    assert len(await desk.queue.reports()) == len(desk.bugs) == 1
    assert (set(), {str(desk.queue.tenant_id)}) in desk.told


async def test_large_rows_are_not_read_before_their_turn(desk: Desk) -> None:
    """Of 4 MB each, which the table keeps in 46 KB: 1.2 GB, were all unpacked at each step."""
    await desk.insert(300, {"padding": "x" * 4_000_000})
    await desk.submit()
    async with asyncio.timeout(30):
        assert await desk.move() == 301
    assert await desk.queue.count("messages") == 1


async def test_many_recipients_go_in_steps(desk: Desk) -> None:
    everybody = email(to=[{"address": f"u{n}@b.test"} for n in range(900)])
    await desk.insert(8, everybody)
    steps = []
    while count := await desk.mover.move():
        steps.append(count)
    assert steps == [3, 3, 2]
    assert await desk.queue.count("deliveries") == 7200


async def test_mail_that_expired_while_nobody_moved_it_is_not_refused(desk: Desk) -> None:
    await desk.insert(1, EMAIL | {"ttl": "60s"})
    await desk.insert(1, EMAIL | {"expire_time": "2030-01-01T00:00:00Z"})
    await desk.app.execute("UPDATE mailproxy.outbox SET created_at = now() - interval '1 hour'")
    assert await desk.move() == 2
    expired = await desk.app.fetchval(
        "SELECT count(*) FROM mailproxy.deliveries WHERE expire_at < now()"
    )
    assert (expired, await desk.refused()) == (1, [])


async def test_attachments_come_as_base64_with_line_ends_as_postgresql_makes_it(
    desk: Desk,
) -> None:
    octets = bytes(range(256))
    text = base64.encodebytes(octets).decode()
    await desk.submit(email(attachments=[{"filename": "a.bin", "content": text}]))
    assert await desk.move() == 1
    content = await desk.app.fetchval("SELECT content FROM mailproxy.messages")
    assert restore(content).composed.attachments[0].content == octets
