from gateway.cluster.view import LogOwner, Node, SingleNode


def test_a_node_is_a_value() -> None:
    assert Node(1, "h", 2) == (1, "h", 2, None)


def test_a_node_by_itself_owns_what_it_has_open() -> None:
    me = Node(7, "h", 2)
    terms = {0: 3, 1: 5}
    view = SingleNode(me, terms.get)
    assert (view.me, view.nodes, view.controller) == (me, (me,), me)
    assert (view.node(7), view.node(8)) == (me, None)
    assert view.owner(1) == LogOwner(7, 5)
    assert view.owner(2) is None
    terms[1] = 6
    assert view.owner(1) == LogOwner(7, 6)
