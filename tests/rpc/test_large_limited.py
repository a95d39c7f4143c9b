"""A message that takes longer to make than a reservation holds is sent all the same."""

from mailproxy.v1 import account_pb2

from tests.rpc.test_attachments_sources import files_of, last_report, upload
from tests.rpc.test_dkim import BOTH, manage
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import dispatching, front_on

LARGE = bytes(range(256)) * 80_000
"""20 MB: to digest it takes longer than the 100 ms for which room within a second is reserved."""


async def test_a_large_message_of_an_account_with_a_limit_a_second(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        limit = account_pb2.RateLimit(count=5)
        limit.window.seconds = 1
        await front.first.make_account(relay.port, limits=[limit])
        await manage(front.first, BOTH)
        blob = (await upload(front.first, LARGE)).blob
        files = [{"filename": "a", "blob": blob}]
        async with dispatching(front):
            sent = await front.first.submit(composed(attachments=files))
            report = await last_report(front, sent.message_id)
        assert report.event == 2
        assert files_of(relay.messages[0].octets) == {"a": LARGE}
