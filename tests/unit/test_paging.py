import pytest
from mailproxy_server.mail.errors import InvalidFields
from mailproxy_server.rpc.paging import next_token, page_size, start_after


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_has_this_size(asked: int, size: int) -> None:
    assert page_size(asked, 100, 1000) == size


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidFields, match="page_size"):
        page_size(-1, 100, 1000)


def test_a_token_leads_on_in_its_list() -> None:
    assert start_after("accounts of 1", next_token("accounts of 1", "größe")) == "größe"


def test_no_token_is_the_first_page() -> None:
    assert start_after("accounts of 1", "") == ""


@pytest.mark.parametrize(
    "token", [next_token("accounts of 2", "a"), "x", "!!!", "ü", "AAAA", "QUJDREVGR0g="]
)
def test_a_token_of_another_list_is_refused(token: str) -> None:
    with pytest.raises(InvalidFields, match="page_token"):
        start_after("accounts of 1", token)
