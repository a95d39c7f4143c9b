"""How fast an account sends is measured while it has mail to send, and at no other time."""

from mailproxy_server.queue import explain, hot
from mailproxy_server.queue.explain import Speed

from tests.support.queue import Queue


async def speed(mail_queue: Queue, after: int = 0) -> Speed:
    """Give the speed, its seconds rounded to tens."""
    async with hot.connection(mail_queue.pool) as link:
        names = [mail_queue.account_id]
        found = await explain.speeds(link, mail_queue.tenant_id, names, after)
    one = found.get(mail_queue.account_id, Speed())
    return Speed(one.sent, round(one.seconds, -1))


async def send(mail_queue: Queue, count: int) -> None:
    await mail_queue.settle(await mail_queue.claim(count))


async def due_since(mail_queue: Queue, seconds: int) -> None:
    await mail_queue.pool.execute(
        "UPDATE mailproxy.deliveries SET due_at = now() - $1 * interval '1 second'", seconds
    )


async def reported_since(mail_queue: Queue, seconds: int) -> float:
    """Move the reports into the past, though not into yesterday's partition; give how far."""
    found: float = await mail_queue.pool.fetchval(
        """WITH moved AS (
               UPDATE mailproxy.report_log SET reported_at = greatest(
                   now() - $1 * interval '1 second', date_trunc('day', now()))
               RETURNING reported_at)
           SELECT extract(epoch FROM now() - min(reported_at))::float8 FROM moved""",
        seconds,
    )
    return found


async def test_what_was_sent_before_there_was_more_to_send_does_not_count(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(2)
    await send(mail_queue, 2)
    await reported_since(mail_queue, 20)
    await mail_queue.submit_many(50)
    assert await speed(mail_queue) == Speed()
    await due_since(mail_queue, 30)
    assert await speed(mail_queue) == Speed(2, 30)
    await send(mail_queue, 10)
    assert await speed(mail_queue) == Speed(12, 30)
    await due_since(mail_queue, 300)
    assert await speed(mail_queue) == Speed(12, 60), "a minute, and no longer"


async def test_reports_that_are_not_read_take_their_time_with_them(mail_queue: Queue) -> None:
    await mail_queue.submit_many(60)
    await due_since(mail_queue, 50)
    await send(mail_queue, 10)
    age = await reported_since(mail_queue, 30)
    await send(mail_queue, 5)
    assert await speed(mail_queue) == Speed(15, 50)
    assert await speed(mail_queue, after=10) == Speed(5, round(age, -1))
