import pytest

from gateway.metrics.bill import MONTH_S, SHORTEST_S, WINDOW_S, Bill

PRICES = {"put": 5.0, "get": 0.4}


def test_a_steady_rate_costs_what_the_page_about_operations_says() -> None:
    """200 writes a second all month: 2,592."""
    bill = Bill(PRICES)
    for now_s in range(0, 10_000, 10):
        bill.note(now_s, {"put": 200 * now_s, "get": 0})
    assert bill.per_month(10_000, {"put": 200 * 10_000, "get": 0}) == {
        "put": pytest.approx(2_592),
        "get": 0,
    }


def test_what_was_long_ago_does_not_count() -> None:
    bill = Bill(PRICES)
    for now_s in range(0, int(3 * WINDOW_S), 10):
        bill.note(now_s, {"put": min(now_s, 1_000), "get": 0})
    assert bill.per_month(3 * WINDOW_S, {"put": 1_000, "get": 0})["put"] == 0
    assert len(bill._samples) <= WINDOW_S / 60 + 2


def test_the_first_requests_are_not_taken_for_a_rate() -> None:
    bill = Bill(PRICES)
    assert bill.per_month(5, {"put": 40, "get": 0}) == {"put": 0, "get": 0}
    bill.note(0, {"put": 0, "get": 0})
    expected = 40 / SHORTEST_S * MONTH_S * 5 / 1_000_000
    assert bill.per_month(1, {"put": 40, "get": 0})["put"] == pytest.approx(expected)
