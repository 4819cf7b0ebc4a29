"""Messages as etcd's own server reads and writes them, whole, cut and with fields unknown to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cluster.coordination import wire

NUMBERS = [
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (300, "ac02"),
    (-1, "ffffffffffffffffff01"),
]


@pytest.mark.parametrize(("value", "written"), NUMBERS)
def test_numbers(value: int, written: str) -> None:
    assert wire.varint(value).hex() == written
    assert wire.Fields(wire.message((3, value))).number(3) == value


def test_a_put_as_the_reference_encodes_it() -> None:
    # key "a" is field 1, value "bc" field 2, lease 300 field 3.
    request = wire.message((1, b"a"), (2, b"bc"), (3, 300))
    assert request.hex() == "0a0161" + "12026263" + "18ac02"


def test_nothing_is_written_for_nothing_but_an_empty_message_is() -> None:
    assert wire.message((1, b""), (2, 0)) == b""
    assert wire.part(3, b"").hex() == "1a00"


def test_fields_that_are_unknown_or_of_fixed_size_are_passed_over() -> None:
    data = bytes.fromhex("09" + "00" * 8 + "15" + "00" * 4) + wire.message((9, b"x"), (3, 7))
    assert wire.Fields(data).number(3) == 7
    assert wire.Fields(data).blob(5) == b""


@given(st.lists(st.tuples(st.integers(1, 100), st.binary(min_size=1)), max_size=5), st.data())
def test_what_is_written_is_read_back_and_what_is_cut_is_told(
    fields: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    written = wire.message(*fields)
    assert list(wire.fields(written)) == fields
    cut = written[: data.draw(st.integers(0, len(written)))]
    try:
        assert list(wire.fields(cut)) == fields[: len(list(wire.fields(cut)))]
    except wire.MalformedMessage:
        pass


@given(st.binary(max_size=60))
def test_junk_is_told(junk: bytes) -> None:
    try:
        list(wire.fields(junk))
    except wire.MalformedMessage:
        pass


@pytest.mark.parametrize("data", ["80", "0a05", "0b", "08" + "ff" * 10])
def test_no_message(data: str) -> None:
    with pytest.raises(wire.MalformedMessage):
        list(wire.fields(bytes.fromhex(data)))


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"/p/", b"/p0"), (b"a\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")]
)
def test_the_end_of_a_prefix(prefix: bytes, end: bytes) -> None:
    assert wire.prefix_end(prefix) == end
