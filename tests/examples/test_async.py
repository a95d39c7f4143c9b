"""How an asyncio application is tested."""

import asyncio

from mailproxy import AsyncMailProxyClient, Attachment
from mailproxy.testing import MailProxy


async def send_codes(customers: list[str]) -> None:
    """The application."""
    async with AsyncMailProxyClient.from_env() as client:
        codes = (
            client.submit(
                from_address="shop@example.com",
                to=customer,
                subject="Your code",
                text=f"{number:06}",
                attachments=[Attachment("code.txt", b"%06d" % number)],
                priority="immediate",
            )
            for number, customer in enumerate(customers)
        )
        await asyncio.gather(*codes)


async def test_each_customer_gets_a_code(mail_proxy: MailProxy) -> None:
    customers = [f"user{number}@example.org" for number in range(10)]
    await send_codes(customers)
    for number, customer in enumerate(customers):
        sent = mail_proxy.assert_sent(to=customer, subject="Your code")
        assert sent.text.strip() == f"{number:06}"
        assert sent.attachments == {"code.txt": b"%06d" % number}


async def test_a_client_of_the_fixture_speaks_to_the_same_server(mail_proxy: MailProxy) -> None:
    async with mail_proxy.async_client() as client:
        await client.submit(from_address="a@example.com", to="b@example.org", text="Grüße")
    assert "Grüße" in mail_proxy.assert_sent(sender="a@example.com").text
