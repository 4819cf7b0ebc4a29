"""What a report calls sound: nothing, or what killed processes leave and nobody misses."""

from __future__ import annotations

from wal_core.fsck.findings import Kind, LogReport


def test_only_harmless_findings_leave_a_log_sound():
    harmless = {kind for kind in Kind if report_of(kind).sound}
    assert harmless == {Kind.STRAGGLER, Kind.LEFTOVER, Kind.LOST}
    assert report_of().sound
    assert not report_of(Kind.LOST, Kind.MISSING).sound


def report_of(*kinds: Kind) -> LogReport:
    report = LogReport(1)
    for kind in kinds:
        finding = report.add(kind, "key", "text")
        assert finding is report.findings[-1]
        assert finding.records == []
    return report
