"""Message ids: UUIDv7, sorted by birth."""

from datetime import UTC, datetime

from mailproxy_server.queue.ids import born, uuid7, uuid7_in_order

ZEROS, ONES = bytes(10), b"\xff" * 10


def test_it_is_a_version_7_uuid_of_the_rfc_variant() -> None:
    for entropy in (ZEROS, ONES):
        made = uuid7(1_700_000_000_000, entropy)
        assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_the_example_of_the_rfc() -> None:
    """RFC 9562 appendix A.6."""
    entropy = ((0xCC3 << 62) | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert str(uuid7(0x017F22E279B0, entropy)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_a_later_one_is_greater_whatever_the_entropy() -> None:
    assert uuid7(1, ONES).int < uuid7(2, ZEROS).int


def test_its_birth_can_be_read() -> None:
    assert born(uuid7(1_700_000_000_123, ONES)) == datetime.fromtimestamp(1_700_000_000.123, UTC)


def test_those_of_one_millisecond_sort_by_their_birth_whatever_the_entropy() -> None:
    second = 1_700_000_000_000_000_000
    by_birth = [uuid7_in_order(second + n, ONES[:8]) for n in range(0, 2_000_000, 250)]
    assert by_birth == sorted(by_birth)
    assert uuid7_in_order(second, ONES[:8]) < uuid7_in_order(second + 250, ZEROS[:8])
    assert {(each.version, each.variant) for each in by_birth} == {(7, "specified in RFC 4122")}
    assert born(by_birth[0]) == datetime.fromtimestamp(1_700_000_000, UTC)
