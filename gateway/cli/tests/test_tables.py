import pytest

from gateway.cli.tables import show_table


def test_names_stand_to_the_left_and_numbers_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table([("TOPIC", "PARTITIONS"), ("a-long-name", 7), ("b", 12)])
    assert capsys.readouterr().out.splitlines() == [
        "TOPIC        PARTITIONS",
        "a-long-name           7",
        "b                    12",
    ]
