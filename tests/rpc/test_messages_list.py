"""Lists of messages: by what was submitted, by where recipients stand, page by page."""

from typing import Any

import pytest
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import listing

from tests.support.calling import Caller, ahead
from tests.support.emails import composed
from tests.support.served import Front, queue_of

Selector = delivery_pb2.Selector


async def page(caller: Caller, **fields: Any) -> message_pb2.ListMessagesResponse:
    wanted = message_pb2.ListMessagesRequest(**fields)
    response: message_pb2.ListMessagesResponse = await caller.call(
        caller.messages.ListMessages, wanted
    )
    return response


async def ids(caller: Caller, **fields: Any) -> list[str]:
    """Walk a list to its end."""
    found: list[str] = []
    token = ""
    while True:
        one = await page(caller, page_token=token, **fields)
        found += [message.message_id for message in one.messages]
        token = one.next_page_token
        if not token:
            return found


async def submit(front: Front, count: int, **email: Any) -> list[str]:
    return [(await front.first.submit(composed(email))).message_id for _ in range(count)]


async def test_the_newest_come_first_page_by_page_and_no_other_tenants(front: Front) -> None:
    await front.other.submit()
    sent = await submit(front, 7)
    assert await ids(front.first, page_size=3) == sent[::-1]
    assert await ids(front.first) == sent[::-1]
    assert len(await ids(front.other)) == 1


async def test_states_are_counted_and_chosen_by(front: Front) -> None:
    first, second, third = await submit(front, 3)
    async with queue_of(front, front.first) as queue:
        one, two, _ = await queue.claim()
        await queue.settle([one], Outcome.failed(Reason.RECIPIENT_REFUSED))
        await queue.settle([two])
    states = {
        message.message_id: {each.state: each.recipients for each in message.states}
        for message in (await page(front.first)).messages
    }
    assert states == {
        first: {delivery_pb2.DELIVERY_STATE_FAILED: 1},
        second: {delivery_pb2.DELIVERY_STATE_SENT: 1},
        third: {delivery_pb2.DELIVERY_STATE_SENDING: 1},
    }
    assert await ids(front.first, states=[delivery_pb2.DELIVERY_STATE_FAILED]) == [first]
    both = [delivery_pb2.DELIVERY_STATE_SENT, delivery_pb2.DELIVERY_STATE_SENDING]
    assert await ids(front.first, states=both) == [third, second]


async def test_labels_recipients_accounts_and_times_choose(front: Front) -> None:
    await front.first.make_account(account_id="other")
    (news,) = await submit(front, 1, labels={"kind": "news"})
    (elsewhere,) = await submit(front, 1, account_id="other")
    to_bob = await front.first.submit(composed(to=[{"address": "bob@b.test"}]))
    assert await ids(front.first, selector=Selector(labels={"kind": "news"})) == [news]
    assert await ids(front.first, selector=Selector(account_id="other")) == [elsewhere]
    assert await ids(front.first, selector=Selector(message_ids=[news])) == [news]
    assert await ids(front.first, recipient="bob@b.test") == [to_bob.message_id]
    assert await ids(front.first, accepted_from=ahead(hours=-1)) == [
        to_bob.message_id,
        elsewhere,
        news,
    ]
    assert await ids(front.first, accepted_before=ahead(hours=-1)) == []


async def test_a_list_that_must_look_at_recipients_is_walked_in_bounded_steps(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "EXAMINED", 5)
    bob = await front.first.submit(composed(to=[{"address": "bob@b.test"}]))
    await submit(front, 12)
    short = await page(front.first, recipient="bob@b.test")
    assert (len(short.messages), bool(short.next_page_token)) == (0, True)
    assert await ids(front.first, recipient="bob@b.test") == [bob.message_id]


async def test_a_token_of_another_filter_and_bad_fields_are_refused(front: Front) -> None:
    await submit(front, 3)
    token = (await page(front.first, page_size=1)).next_page_token
    ask = front.first.messages.ListMessages
    for fields, at in (
        ({"page_token": token, "recipient": "a@b.test"}, "page_token"),
        ({"page_token": "x"}, "page_token"),
        ({"page_size": -1}, "page_size"),
        ({"states": [0]}, "states[0]"),
        ({"recipient": "a\0"}, "recipient"),
        ({"selector": Selector(message_ids=["x"])}, "selector.message_ids[0]"),
    ):
        refusal = await front.first.refusal(ask, message_pb2.ListMessagesRequest(**fields))
        assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", (at,))


async def test_a_rare_label_is_found_at_once_and_a_frequent_one_by_walking(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "EXAMINED", 5)
    (rare,) = await submit(front, 1, labels={"kind": "rare"})
    often = await submit(front, 12, labels={"kind": "often"})
    for _ in range(6):
        await front.other.submit(composed({"labels": {"kind": "elsewhere"}}))
    found = await page(front.first, selector=Selector(labels={"kind": "rare"}))
    assert ([m.message_id for m in found.messages], found.next_page_token) == ([rare], "")
    assert await ids(front.first, selector=Selector(labels={"kind": "often"})) == often[::-1]
    assert await ids(front.first, selector=Selector(labels={"kind": "elsewhere"})) == []
    both = Selector(labels={"kind": "rare"}, message_ids=[rare, often[0]])
    assert await ids(front.first, selector=both) == [rare]


async def test_a_recipient_in_another_state_does_not_fit(front: Front) -> None:
    two = [{"address": "ann@b.test"}, {"address": "bob@b.test"}]
    sent = await front.first.submit(composed(to=two))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(1))
    done = [delivery_pb2.DELIVERY_STATE_SENT]
    assert await ids(front.first, recipient="ann@b.test", states=done) == [sent.message_id]
    assert await ids(front.first, recipient="bob@b.test", states=done) == []


async def test_what_was_submitted_is_told(front: Front) -> None:
    email = composed({"priority": 10, "labels": {"k": "v"}, "expire_time": ahead(hours=1)})
    sent = await front.first.submit(email, request_id="order-17")
    (found,) = (await page(front.first)).messages
    assert (found.message_id, found.request_id) == (sent.message_id, "order-17")
    assert (found.account_id, found.priority, dict(found.labels)) == ("demo", 10, {"k": "v"})
    assert found.accept_time == sent.accept_time
    assert found.return_path == "shop@example.com"
    assert (found.HasField("expire_time"), found.HasField("send_time")) == (True, False)
