"""Which commits are on their way, asked by group and by topic."""

from __future__ import annotations

from gateway.groups.commits_under_way import CommitsUnderWay


def test_a_commit_is_known_from_its_beginning_to_its_end() -> None:
    commits = CommitsUnderWay()
    ended = commits.begin("g", [("t", 0), ("t", 2), ("u", 1)])
    assert commits.indexes("g", "t") == {0, 2}
    assert commits.indexes("g", "u") == {1}
    assert list(commits.partitions("g")) == [("t", 0), ("t", 2), ("u", 1)]
    ended()
    assert commits.indexes("g", "t") == set()
    assert not list(commits.partitions("g"))
    assert not commits._by_topic  # nothing is kept of what was


def test_each_of_several_commits_ends_by_itself() -> None:
    commits = CommitsUnderWay()
    first = commits.begin("g", [("t", 0), ("t", 1)])
    second = commits.begin("g", [("t", 1)])
    first()
    assert commits.indexes("g", "t") == {1}
    second()
    assert commits.indexes("g", "t") == set()


def test_groups_are_kept_apart() -> None:
    commits = CommitsUnderWay()
    commits.begin("g", [("t", 3), ("t", 1)])
    commits.begin("h", [("t", 1), ("u", 0)])
    commits.begin("g", [("t", 1), ("t", 4)])
    assert commits.indexes("h", "t") == {1}
    assert commits.indexes("nobody", "t") == set()
    assert list(commits.partitions("h")) == [("t", 1), ("u", 0)]
    found = commits.by_group("t")
    assert {group_id: list(indexes) for group_id, indexes in found.items()} == {
        "g": [3, 1, 4],
        "h": [1],
    }
    assert not commits.by_group("nothing")
