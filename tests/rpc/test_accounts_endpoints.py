"""Endpoints of an account: what is refused, and how long a secret stays."""

from typing import Any

import grpc
import pytest

from tests.rpc.test_attachments_endpoints import SECRET, change, manage
from tests.support.served import Front


@pytest.mark.parametrize(
    ("endpoint", "field", "words"),
    [
        ({"name": "A", "url": "https://x.test/"}, "name", "[a-z0-9_.-]"),
        ({"name": "a", "url": "ftp://x.test/"}, "url", "must begin with"),
        ({"name": "a", "url": "https://u:p@x.test/"}, "url", "credentials"),
        ({"name": "a", "url": "http://2130706433/"}, "url", "disguise"),
        ({"name": "a", "url": "https://x.test/", "auth": 2}, "secret", "required"),
        ({"name": "a", "url": "https://x.test/", "auth": 3, "secret": "x"}, "username", "BASIC"),
        ({"name": "a", "url": "https://x.test/", "username": "x"}, "username", "BASIC only"),
        ({"name": "a", "url": "https://x.test/", "secret": "x"}, "secret", "NONE"),
        ({"name": "a", "url": "https://x.test/", "auth": 2, "secret": "a\r\nb"}, "secret", "line"),
        ({"name": "a", "url": "https://x.test/", "auth": 2, "secret": "ü"}, "secret", "ASCII"),
        ({"name": "a", "url": "https://x.test/", "auth": 4, "secret": "x", "header_name": "a b"},
         "header_name", "name of a header"),
        ({"name": "a", "url": "https://x.test/", "auth": 4, "secret": "x", "header_name": "Host"},
         "header_name", "of its own"),
        ({"name": "a", "url": "https://x.test/", "auth": 9}, "auth", "not a value"),
    ],
)  # fmt: skip
async def test_an_endpoint_that_is_none_is_refused(
    front: Front, endpoint: dict[str, Any], field: str, words: str
) -> None:
    refusal = await front.first.refusal(front.first.accounts.ManageAccount, change([endpoint]))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"account.attachment_endpoints[0].{field}" in refusal.fields
    assert words in refusal.message
    assert "a\r\nb" not in refusal.message


async def test_a_secret_stays_with_its_endpoint_and_goes_nowhere_else(front: Front) -> None:
    one = {"name": "a", "url": "https://x.test/", "auth": 2}
    kept = (await manage(front.first, [{**one, "secret": SECRET}])).account
    assert kept.attachment_endpoints[0].has_secret
    assert kept.attachment_endpoints[0].secret == ""
    kept = (await manage(front.first, [one, {"name": "b", "url": "https://y.test/"}])).account
    assert [each.has_secret for each in kept.attachment_endpoints] == [True, False]
    for changed in ({**one, "url": "https://evil.test/"}, {**one, "name": "c"},
                    {**one, "auth": 4, "header_name": "X"}):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError, match="none is kept for exactly this one"):
            await manage(front.first, [changed])
