"""What each worker is told, and that it arrives."""

import msgspec

from gateway.settings.config import Config
from gateway.workers.assignment import Assignment, assign


def test_each_has_a_node_id_and_ports_of_its_own() -> None:
    config = Config(
        data="s3://bucket/a",
        workers_count=3,
        node_id=10,
        listen_host="0.0.0.0",
        listen_port=9092,
        advertised_host="gw.example",
        advertised_port=19092,
        metrics_listen_host="127.0.0.1",
        metrics_listen_port=9200,
    )
    told = [assign(config, n, port=9092, own_port=9092 + n) for n in (1, 2, 3)]
    own = [one.config for one in told]
    assert [c.node_id for c in own] == [10, 11, 12]
    assert [c.advertised(c.listen_port) for c in own] == [
        ("gw.example", 19093),
        ("gw.example", 19094),
        ("gw.example", 19095),
    ]
    assert [c.metrics_listen_port for c in own] == [9200, 9201, 9202]
    assert {(one.host, one.port) for one in told} == {("0.0.0.0", 9092)}
    assert {(c.workers_count, c.logs_count) for c in own} == {(1, 3)}


def test_more_logs_than_workers_stay_as_many() -> None:
    config = Config(workers_count=2, logs_count=8)
    assert assign(config, 1, port=1, own_port=2).config.logs_count == 8


def test_it_arrives_as_it_was() -> None:
    told = assign(Config(workers_count=2, rack="a", etcd_prefix="/x"), 2, port=9092, own_port=9094)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Assignment) == told
