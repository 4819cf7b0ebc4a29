"""The report: what was checked, what was not, and what was found; nothing passes in silence."""

import json

from gateway.verify.checks import CHECKS
from gateway.verify.report import verify
from gateway.verify.tests.build import Script


def test_an_empty_history_has_checked_nothing() -> None:
    report = verify(Script().history())
    assert report.clean
    text = list(report.text())
    assert sum(line.startswith("skipped  ") for line in text) == len(CHECKS)
    assert text[-1] == f"no anomaly; 0 of {len(CHECKS)} rules checked"


def test_every_rule_is_reported_once() -> None:
    report = verify(Script().sent("p", (0, "a")).sent("q", (0, "b")).history())
    told = [line[9:] for line in report.text() if line[:9].strip() in ("ok", "skipped", "BAD")]
    names = [line.split(" ")[0].rstrip(":") for line in told]
    assert sorted(names) == sorted(check.name for check in CHECKS)


def test_findings_beyond_the_limit_are_counted() -> None:
    script = Script()
    for number in range(30):
        script.sent("p", (0, f"v{number}"))
    report = verify(script.history(), findings_max_count=4)
    (twice,) = (r for r in report.results if r.check.name == "offset-acked-twice")
    assert (twice.findings_count, len(twice.findings)) == (29, 4)
    assert report.anomalies["offset-acked-twice"] == 29
    assert "           and 25 more" in list(report.text())


def test_lines_are_told_once_and_in_order() -> None:
    report = verify(Script().sent("p", (5, "a"), (2, "b"), idempotent=True).history())
    (result,) = (r for r in report.results if r.findings)
    assert result.check.name == "int-nonmonotonic-send"
    assert result.findings[0].lines == (3,)


def test_allowed_anomalies_are_told_but_not_bad() -> None:
    script = Script().unsure("q", "x").sent("p", (0, "a"), (2, "b"))
    report = verify(script.read("c", (0, "a"), (1, "x"), (2, "b")).history())
    assert report.clean
    assert report.anomalies == {}
    assert any(line.startswith("allowed  int-send-skip: 1") for line in report.text())


def test_counts_events_and_strangers_are_shown() -> None:
    script = Script().sent("p", (0, "a")).unsure("p", "b")
    script.writer.invoke("m", "metadata").ok()
    script.writer.event("restart", node="gateway")
    script.writer.event("restart", node="gateway")
    text = list(verify(script.history()).text())
    assert text[0] == "9 lines, 1 keys"
    assert "  send: 1 info, 1 ok" in text
    assert "  metadata: 1 ok  (not interpreted)" in text
    assert "  events: 2 restart" in text


def test_delays_are_measured_also_where_they_are_not_judged() -> None:
    script = Script().assign("c", t_0=0).sent("p", (0, "a")).wait(1_000).read("c", (0, "a"))
    report = verify(script.history())
    assert report.lag_ms_max == 1_002
    assert "longest delay: 1002 ms from acknowledgement to a consumer" in list(report.text())
    (lag,) = (r for r in report.results if r.check.name == "realtime-lag")
    assert lag.subjects_count == 0
    assert verify(script.history(), lag_ms_max=1_002).clean
    assert not verify(script.history(), lag_ms_max=1_001).clean


def test_keys_that_nobody_read_in_the_end_are_named() -> None:
    """All of t-1 may be lost: the other key's final poll must not make that look checked."""
    script = Script().sent("p", (0, "a")).sent("p", (0, "b"), key="t-1").unsure("p", "c", key="t-2")
    script.subscribe("c").read("c", (0, "a"), final=True)
    report = verify(script.history())
    assert report.unread_keys == report.as_json()["keys_without_final_poll"] == ["t-1"]
    assert any("leave out 1 of the keys" in line and "t-1" in line for line in report.text())
    script.assign("d", t_1=1).read("d", final=True)
    report = verify(script.history())
    assert report.unread_keys == []
    assert not any("leave out" in line for line in report.text())


def test_json_says_the_same() -> None:
    report = verify(Script().sent("p", (0, "a")).sent("q", (0, "b")).history())
    said = json.loads(json.dumps(report.as_json()))
    assert said["clean"] is False
    assert [check["name"] for check in said["checks"]] == [check.name for check in CHECKS]
    assert said["operations"] == [{"f": "send", "outcome": "ok", "count": 2}]
    for check in said["checks"]:
        assert (check["needs"] is None) == (check["checked"] > 0)
