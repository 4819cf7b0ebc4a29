import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import run
from gateway.verify.tests.build import Script

GOOD = Script().assign("c", t_0=0).sent("p", (0, "a")).read("c", (0, "a"), final=True)
BAD = Script().sent("p", (0, "a")).sent("q", (0, "b")).sent("r", (0, "c"))


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on these bytes; exit code, standard output and error."""

    def call(raw: bytes, *args: str) -> tuple[int, str, str]:
        path = tmp_path / "history.jsonl"
        path.write_bytes(raw)
        code = run(["verify", str(path), *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_clean_history(verify: Any) -> None:
    code, out, err = verify(GOOD.raw)
    assert (code, err) == (0, "")
    assert "  send: 1 ok\n" in out
    assert "ok       lost-write (1)\n" in out
    assert "skipped  torn-txn: needs transactions, and final polls\n" in out
    assert out.splitlines()[-1].startswith("no anomaly; ")


def test_anomalies_are_shown_with_their_lines(verify: Any) -> None:
    code, out, _ = verify(BAD.raw, "--findings", "1")
    assert code == 1
    assert "BAD      offset-acked-twice: 2, against the rule: " in out
    assert "t-0: offset 0 was acknowledged for 'a' and 'b' (lines 3, 5)\n" in out
    assert "           and 1 more\n" in out
    assert out.splitlines()[-1].startswith("ANOMALIES: ")


def test_json(verify: Any) -> None:
    code, out, _ = verify(BAD.raw, "--json")
    assert code == 1
    report = json.loads(out)
    assert report["clean"] is False
    checks = {check["name"]: check for check in report["checks"]}
    twice = checks["offset-acked-twice"]
    assert (twice["checked"], twice["findings_count"]) == (3, 2)
    assert twice["findings"][0]["lines"] == [3, 5]
    assert checks["G1c"]["needs"] == "transactions at read_committed"


def test_a_bound_on_delays(verify: Any) -> None:
    slow = Script().assign("c", t_0=0).sent("p", (0, "a")).wait(5_000).read("c", (0, "a"))
    assert verify(slow.raw)[0] == 0
    assert verify(slow.raw, "--lag-max", "6s")[0] == 0
    code, out, _ = verify(slow.raw, "--lag-max", "4s")
    assert code == 1
    assert "BAD      realtime-lag: 1" in out


def test_what_is_not_a_history(verify: Any) -> None:
    code, out, err = verify(GOOD.raw + b'{"type":"ok"}\n')
    assert (code, out) == (2, "")
    assert "history.jsonl, line 8: Object missing required field `process`" in err


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO(GOOD.raw)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run(["verify", "-"]) == 0
    assert "no anomaly" in capsys.readouterr().out


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "nowhere.jsonl"]) == 2
    assert "nowhere.jsonl: No such file" in capsys.readouterr().err
