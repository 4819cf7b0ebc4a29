"""The committed offsets of a group, asked of its coordinator."""

import pytest

from gateway.cli.client import KafkaClient
from gateway.cli.errors import KafkaError
from gateway.cli.group_offsets import GroupOffsets
from gateway.cli.tests.fake_broker import FakeBroker


@pytest.fixture
def client(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.cli.client._BETWEEN_TRIES_MS", 0)
    broker.topics["t"] = [[], [], []]
    with KafkaClient(("127.0.0.1", broker.port), 5_000) as client:
        yield client


def test_what_was_committed_is_found_by_another(broker: FakeBroker, client: KafkaClient) -> None:
    GroupOffsets(client, "g", "t").write({0: 5, 2: 0})
    assert broker.committed == {("g", "t", 0): 5, ("g", "t", 2): 0}
    assert GroupOffsets(client, "g", "t").read(range(3)) == {0: 5, 2: 0}
    assert GroupOffsets(client, "other", "t").read(range(3)) == {}


def test_a_coordinator_that_is_starting_is_asked_again(
    broker: FakeBroker, client: KafkaClient
) -> None:
    broker.refuse = {10: [15, 15]}
    GroupOffsets(client, "g", "t").write({0: 1})
    assert broker.refuse == {10: []}


@pytest.mark.parametrize(("key", "code"), [(10, 24), (9, 16), (8, 22)])
def test_refusals_name_the_group(
    broker: FakeBroker, client: KafkaClient, key: int, code: int
) -> None:
    broker.refuse = {key: [code] * 100}
    with pytest.raises(KafkaError, match="group g") as refused:
        offsets = GroupOffsets(client, "g", "t")
        offsets.read([0])
        offsets.write({0: 1})
    assert refused.value.code == code
