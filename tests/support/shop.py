"""An application with a database of orders, which mails a receipt in each order's transaction.

A program: `shop.py URL COUNT`. Orders that a former run has committed are left alone; every third
one is rolled back, its receipt with it. It places orders up to the number that it read last from
its input, a line each, and ends after COUNT.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator

import asyncpg
from mailproxy import outbox

BUYERS = 8


def wanted(number: int) -> bool:
    """Whether this order is to be committed."""
    return number % 3 != 0


def address(number: int) -> str:
    """Give who gets this order's receipt."""
    return f"buyer{number}@b.test"


async def order(link: "asyncpg.Connection[asyncpg.Record]", number: int) -> None:
    """Place one order, with its receipt."""
    transaction = link.transaction()
    await transaction.start()
    await order_within(link, number)
    await (transaction.commit() if wanted(number) else transaction.rollback())


async def order_within(link: "asyncpg.Connection[asyncpg.Record]", number: int) -> None:
    """Place one order, with its receipt, in the transaction that is open."""
    await link.execute("INSERT INTO public.orders VALUES ($1)", number)
    await outbox.submit_async(
        link,
        from_address="shop@a.test",
        to=address(number),
        subject=f"Order {number}",
        text="Thank you.\n",
    )


class Shop:
    """Its buyers, who wait at the limit."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._count = count
        self._limit = 0
        self._raised = asyncio.Condition()

    async def hear(self) -> None:
        """Raise the limit, line by line."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            async with self._raised:
                self._limit = int(line)
                self._raised.notify_all()

    async def open(self) -> None:
        """Sell until all orders were placed."""
        link = await asyncpg.connect(self._url)
        done = {row[0] for row in await link.fetch("SELECT number FROM public.orders")}
        await link.close()
        numbers = (number for number in itertools.count(1) if number not in done)
        hearing = asyncio.create_task(self.hear())
        await asyncio.gather(*(self._buy(numbers) for _ in range(BUYERS)))
        hearing.cancel()

    async def _buy(self, numbers: Iterator[int]) -> None:
        link = await asyncpg.connect(self._url)
        while (number := next(numbers)) <= self._count:
            async with self._raised:
                while number > self._limit:
                    await self._raised.wait()
            await order(link, number)
        await link.close()


if __name__ == "__main__":
    asyncio.run(Shop(sys.argv[1], int(sys.argv[2])).open())
