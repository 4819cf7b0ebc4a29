from gateway.broker.gone_topics import GoneTopics


def test_the_last_of_a_name_is_known_and_where_it_lay() -> None:
    gone = GoneTopics()
    assert gone.last("a") is None
    gone.note("a", b"1" * 16, [3, 1])
    gone.note("a", b"2" * 16, [2])
    found = gone.last("a")
    assert found is not None
    assert (found.topic_id, list(found.log_ids)) == (b"2" * 16, [2])


def test_the_oldest_are_forgotten_when_there_are_many_names() -> None:
    gone = GoneTopics(names_max_count=2)
    for name in ("a", "b", "a", "c"):
        gone.note(name, b"i" * 16, [1])
    assert [name for name in "abc" if gone.last(name)] == ["a", "c"]


def test_the_oldest_are_forgotten_when_they_had_many_partitions() -> None:
    gone = GoneTopics(partitions_max_count=4)
    for name in "abc":
        gone.note(name, b"i" * 16, [1, 2])
    assert [name for name in "abc" if gone.last(name)] == ["b", "c"]
    gone.note("large", b"i" * 16, [1] * 5)  # more than fits: none of it is kept
    assert not any(map(gone.last, ("a", "b", "c", "large")))
    gone.note("b", b"i" * 16, [1] * 4)
    assert gone.last("b")
