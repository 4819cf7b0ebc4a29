import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.values import (
    Option,
    Parser,
    Value,
    parse_address,
    parse_count,
    parse_duration,
    parse_endpoint,
    parse_price,
    parse_region,
    parse_size,
    parse_switch,
    parse_text,
    show_address,
    show_duration,
    show_size,
)

ACCEPTED: list[tuple[Parser, object, Value]] = [
    (parse_size, 65536, 65536),
    (parse_size, "65536", 65536),
    (parse_size, "16MiB", 16 * 2**20),
    (parse_size, " 16 mib ", 16 * 2**20),
    (parse_size, "10MB", 10_000_000),
    (parse_size, "2GiB", 2 * 2**30),
    (parse_size, "0", 0),
    (parse_duration, 250, 250),
    (parse_duration, "250", 250),
    (parse_duration, "250ms", 250),
    (parse_duration, "30s", 30_000),
    (parse_duration, "5min", 300_000),
    (parse_duration, "7d", 7 * 86_400_000),
    (parse_count, "12", 12),
    (parse_endpoint, "", ""),
    (parse_endpoint, " http://127.0.0.1:9000 ", "http://127.0.0.1:9000"),
    (parse_endpoint, "https://[::1]:9000/base", "https://[::1]:9000/base"),
    (parse_endpoint, "http://me:secret@h", "http://me:secret@h"),  # refused where it is not shown
    (parse_region, "eu-central-1", "eu-central-1"),
    (parse_price, "0.4", 0.4),
    (parse_price, 0.4, 0.4),
    (parse_price, 5, 5.0),
    (parse_switch, True, True),
    (parse_switch, "OFF", False),
    (parse_switch, "yes", True),
    (parse_address, "127.0.0.1:9092", ("127.0.0.1", 9092)),
    (parse_address, "[::1]:0", ("::1", 0)),
    (parse_address, "broker.example.org:65535", ("broker.example.org", 65535)),
    (parse_address, "a" * 63 + ".example.org.:1", ("a" * 63 + ".example.org.", 1)),
    (parse_address, "b\u00fccher.example:1", ("b\u00fccher.example", 1)),
    (parse_text, " ./data ", "./data"),
]

REFUSED: list[tuple[Parser, object]] = [
    (parse_size, "16M"),
    (parse_size, "-1"),
    (parse_size, -1),
    (parse_size, 1.5),
    (parse_size, "1.5MiB"),
    (parse_size, True),
    (parse_size, ""),
    (parse_size, None),
    (parse_size, "9" * 20),
    (parse_size, "16MiB\n16MiB"),
    (parse_duration, "5m"),  # minutes or milliseconds? a guess would be wrong half of the time
    (parse_duration, "MiB"),
    (parse_count, "3s"),
    (parse_count, "three"),
    (parse_endpoint, "127.0.0.1:9000"),
    (parse_endpoint, "ftp://host"),
    (parse_endpoint, "http://host/?token=x"),
    (parse_endpoint, 9000),
    (parse_region, "eu central"),
    (parse_price, "-1"),
    (parse_price, "1e3"),
    (parse_price, float("nan")),
    (parse_price, True),
    (parse_price, "$5"),
    (parse_region, None),
    (parse_switch, "maybe"),
    (parse_switch, 1),
    (parse_address, "9092"),
    (parse_address, "a" * 64 + ":1"),
    (parse_address, "a..b:1"),
    (parse_address, ".a:1"),
    (parse_address, "\u00fc" * 64 + ":1"),
    (parse_address, ":9092"),
    (parse_address, "localhost"),
    (parse_address, "localhost:"),
    (parse_address, "localhost:65536"),
    (parse_address, "localhost:٩٠"),
    (parse_address, "::1:9092"),
    (parse_address, "http://localhost:9092"),
    (parse_address, "a:1,b:2"),
    (parse_address, 9092),
    (parse_text, "  "),
    (parse_text, "a\x00b"),
    (parse_text, 3),
]


@pytest.mark.parametrize(("parse", "raw", "value"), ACCEPTED)
def test_what_a_parser_accepts(parse: Parser, raw: object, value: Value) -> None:
    assert parse(raw) == value


@pytest.mark.parametrize(("parse", "raw"), REFUSED)
def test_what_a_parser_refuses(parse: Parser, raw: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(raw)


@given(st.integers(0, 2**50))
def test_a_shown_size_or_duration_reads_back(number: int) -> None:
    assert parse_size(show_size(number).replace(" bytes", "B")) == number
    assert parse_duration(show_duration(number)) == number


@pytest.mark.parametrize("address", [("localhost", 1), ("::1", 9092), ("10.0.0.1", 0)])
def test_a_shown_address_reads_back(address: tuple[str, int]) -> None:
    assert parse_address(show_address(*address)) == address


def test_the_range_of_an_option_includes_both_ends() -> None:
    option = Option("size", parse_size, "Section", "Help.", 1024, 4096)
    assert option.read("1KiB") == {"size": 1024}
    assert option.read("4KiB") == {"size": 4096}
    with pytest.raises(ValueError, match="1KiB to 4KiB"):
        option.read("4097")


def test_an_address_option_sets_two_fields() -> None:
    option = Option("listen", parse_address, "Section", "Help.")
    assert option.read("[::1]:1") == {"listen_host": "::1", "listen_port": 1}
    assert (option.flag, option.env, option.metavar) == (
        "--listen",
        "WOODPECKER_LISTEN",
        "HOST:PORT",
    )
