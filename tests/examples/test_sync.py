"""How a threaded application is tested."""

import pytest
from mailproxy import MailProxyClient
from mailproxy.testing import MailProxy


def place_order(customer: str, number: int) -> None:
    """The application: it knows nothing of the test."""
    with MailProxyClient.from_env() as client:
        client.submit(
            from_address="Shop <shop@example.com>",
            to=customer,
            subject=f"Your order {number}",
            text="It is on its way.\n",
            html="<p>It is on its way.</p>",
            attachments=[],
            request_id=f"order-{number}-confirm",
        )


def test_an_order_is_confirmed_once(mail_proxy: MailProxy) -> None:
    place_order("ann@example.org", 17)
    place_order("ann@example.org", 17)
    sent = mail_proxy.assert_sent(to="ann@example.org", subject="order 17")
    assert sent.mail_from == "shop@example.com"
    assert sent.text == "It is on its way.\n"
    assert sent.html == "<p>It is on its way.</p>"
    assert len(mail_proxy.sent) == 1


def test_each_test_begins_with_nothing(mail_proxy: MailProxy) -> None:
    mail_proxy.assert_nothing_sent()


def test_what_was_not_sent_is_told_with_what_was(mail_proxy: MailProxy) -> None:
    place_order("bob@example.org", 18)
    mail_proxy.assert_sent(to="bob@example.org")
    with pytest.raises(AssertionError, match=r"'Your order 18' from <shop@example\.com> to bob@"):
        mail_proxy.assert_sent(to="eve@example.org", timeout=0.1)
    with pytest.raises(AssertionError, match="1 of 2 messages"):
        mail_proxy.assert_sent(subject="order 18", count=2, timeout=0.1)
    with pytest.raises(AssertionError, match="nothing was to be sent"):
        mail_proxy.assert_nothing_sent()
