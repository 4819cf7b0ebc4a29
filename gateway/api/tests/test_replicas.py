import pytest

from gateway.api.replicas import check_assignment
from gateway.broker.errors import BrokerError
from protocol import ErrorCode


@pytest.mark.parametrize(
    ("node_ids", "problem"),
    [
        ([], "an empty replica list"),
        ([2], "broker 2, but no such broker"),
        ([1, 0], "broker 0, but no such broker"),
        ([1, 1], "the broker 1 more than once"),
    ],
)
def test_what_only_one_node_cannot_have(node_ids: list[int], problem: str) -> None:
    with pytest.raises(BrokerError, match=problem) as refused:
        check_assignment(node_ids, {1})
    assert refused.value.code == ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_the_only_node_may_have_everything() -> None:
    check_assignment([1], {1})


def test_one_of_several_nodes_may_have_it_and_no_two() -> None:
    check_assignment([2], {1, 2})
    with pytest.raises(BrokerError, match="name one"):
        check_assignment([1, 2], {1, 2})
