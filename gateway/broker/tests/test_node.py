from gateway.broker.node import Node


def test_a_node_is_a_value() -> None:
    assert Node(1, "h", 2) == (1, "h", 2)
