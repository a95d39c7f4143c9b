"""An application with a database of orders, which mails a receipt in each order's transaction.

A program: `shop.py URL COUNT`. Orders that a former run has committed are left alone; every third
one is rolled back, its receipt with it.
"""

import asyncio
import itertools
import sys

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
    await link.execute("INSERT INTO public.orders VALUES ($1)", number)
    await outbox.submit_async(
        link,
        from_address="shop@a.test",
        to=address(number),
        subject=f"Order {number}",
        text="Thank you.\n",
    )
    await (transaction.commit() if wanted(number) else transaction.rollback())


async def main(url: str, count: int) -> None:
    link = await asyncpg.connect(url)
    done = {row[0] for row in await link.fetch("SELECT number FROM public.orders")}
    await link.close()
    numbers = (number for number in itertools.count(1) if number not in done)

    async def buy() -> None:
        link = await asyncpg.connect(url)
        for number in numbers:
            if number > count:
                break
            await order(link, number)
        await link.close()

    await asyncio.gather(*(buy() for _ in range(BUYERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
