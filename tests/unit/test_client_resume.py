from datetime import UTC, datetime

import grpc
import pytest
from mailproxy.errors import InvalidRequestError, MailProxyError
from mailproxy.resume import Breaks, WatchPosition, report_position, resumable
from mailproxy.v1 import delivery_pb2, message_pb2, report_pb2
from mailproxy.v1.delivery_pb2 import DeliveryReport, Selector

NOTHING = Selector()


def response(
    *offsets: int, head: int = 100, log: str = "a"
) -> report_pb2.StreamDeliveryReportsResponse:
    reports = [
        DeliveryReport(offset=n, report_id=f"{log}-{n}", cursor=f"c{n}", account_id=f"a{n % 2}")
        for n in offsets
    ]
    return report_pb2.StreamDeliveryReportsResponse(
        reports=reports, cursor=f"c{max(offsets, default=0)}+", head_offset=head
    )


def test_a_stream_goes_on_after_the_report_that_was_handed_out_last() -> None:
    position = report_position("earliest", NOTHING, [], follow=True)
    assert position.next_request().earliest
    first, _ = position.fresh(response(1, 2))
    position.handed_out(first)
    assert position.cursor == position.next_request().cursor == "c1"


def test_progress_past_what_was_filtered_out_is_kept() -> None:
    position = report_position("now", NOTHING, [], follow=True)
    position.passed(response(7))
    assert position.next_request().cursor == "c7+"
    assert not position.finished


def test_reports_that_come_again_are_not_handed_out_again() -> None:
    position = WatchPosition(message_pb2.WatchMessageRequest(message_id="m"))
    again = message_pb2.WatchMessageResponse(reports=response(1, 2, 3).reports)
    for report in position.fresh(again)[:2]:
        position.handed_out(report)
    assert [each.offset for each in position.fresh(again)] == [3]


def test_a_report_that_got_the_offset_of_a_lost_one_is_handed_out() -> None:
    position = WatchPosition(message_pb2.WatchMessageRequest(message_id="m"))
    seen = message_pb2.WatchMessageResponse(reports=response(1, 2, 3).reports)
    for report in position.fresh(seen):
        position.handed_out(report)
    later = [*response(1).reports, *response(2, log="b").reports]
    again = message_pb2.WatchMessageResponse(reports=later)
    assert [each.report_id for each in position.fresh(again)] == ["b-2"]


def test_reports_so_far_end_at_the_head_or_where_there_are_none() -> None:
    position = report_position("earliest", NOTHING, [], follow=False)
    ends = []
    for page in (response(1, 2, head=3), response(3, head=3)):
        position.passed(page)
        ends.append(position.finished)
    assert ends == [False, True]
    position = report_position(datetime(2030, 1, 1, tzinfo=UTC), NOTHING, [], follow=False)
    position.passed(response(head=3))
    assert position.finished


def test_reports_so_far_are_chosen_here_and_their_end_is_seen_all_the_same() -> None:
    position = report_position("earliest", Selector(account_id="a1"), ["sent"], follow=False)
    assert not position.request.HasField("selector")
    page = response(1, 2, 3, head=3)
    page.reports[0].event = page.reports[1].event = delivery_pb2.REPORT_EVENT_SENT
    assert [each.offset for each in position.fresh(page)] == [1]
    position.passed(page)
    assert position.finished


def test_a_start_is_a_word_a_time_or_a_cursor() -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert report_position(when, NOTHING, [], True).request.since.ToDatetime(UTC) == when
    assert report_position("c9", NOTHING, ["sent", 3], True).request.cursor == "c9"
    assert report_position("now", NOTHING, ["sent", 3], True).request.events == [2, 3]
    with pytest.raises(InvalidRequestError, match="sent"):
        report_position("now", NOTHING, ["send"], True)


@pytest.mark.parametrize(
    ("code", "reason", "after", "expected"),
    [
        ("UNAVAILABLE", "", None, True),
        ("UNAVAILABLE", "DRAINING", 1.0, True),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS", 5.0, True),
        ("RESOURCE_EXHAUSTED", "", None, False),
        ("INTERNAL", "", None, True),
        ("INTERNAL", "INTERNAL", None, False),
        ("UNAUTHENTICATED", "TOKEN_INVALID", None, False),
        ("FAILED_PRECONDITION", "CURSOR_FOREIGN", None, False),
        ("OUT_OF_RANGE", "CURSOR_EXPIRED", None, False),
        ("DEADLINE_EXCEEDED", "", None, False),
    ],
)
def test_a_broken_stream_goes_on_and_a_refused_one_does_not(
    code: str, reason: str, after: float | None, expected: bool
) -> None:
    error = MailProxyError("", code=grpc.StatusCode[code], reason=reason, retry_after=after)
    assert resumable(error) is expected


def test_patience_ends_only_before_the_first_response() -> None:
    error = MailProxyError("", code=grpc.StatusCode.UNAVAILABLE)
    breaks = Breaks(patience=10.0)
    assert breaks.pause(error, elapsed=1, jitter=1.0) == pytest.approx(0.1)
    assert breaks.pause(error, elapsed=11, jitter=1.0) is None
    breaks.progress()
    assert breaks.pause(error, elapsed=9999, jitter=1.0) == pytest.approx(0.1)
    assert breaks.pause(None, elapsed=9999, jitter=1.0) == pytest.approx(0.2)
