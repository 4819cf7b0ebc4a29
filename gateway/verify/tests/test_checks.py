"""Every rule has a history that breaks it and one that nearly does."""

from pathlib import Path

import pytest

from gateway.verify.checks import CHECKS
from gateway.verify.report import Report, verify
from gateway.verify.tests.build import KEY, Script
from gateway.verify.tests.cases import VALUES, Case
from gateway.verify.tests.cases_reading import LOSSES, POLLS
from gateway.verify.tests.cases_service import SENDS, SERVICE, TXNS, WATERMARKS

CASES = [*VALUES, *LOSSES, *POLLS, *SENDS, *TXNS, *WATERMARKS, *SERVICE]
IDS = [f"{i}-{case.check}" for i, case in enumerate(CASES)]
FINDINGS = Path(__file__).with_name("findings.txt")
SEVERITY = {check.name: check.severity for check in CHECKS}


def report_on(script: Script, case: Case) -> Report:
    return verify(script.history(), lag_ms_max=case.lag_ms_max)


def found(report: Report) -> set[str]:
    return {result.check.name for result in report.results if result.findings_count}


def test_every_rule_has_both() -> None:
    assert {case.check for case in CASES} == {check.name for check in CHECKS}
    assert len({check.name for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_bad_history_is_caught_by_its_rule(case: Case) -> None:
    script = case.bad()
    report = report_on(script, case)
    assert found(report) == {case.check, *case.also}, "\n".join(report.text())
    (result,) = (r for r in report.results if r.check.name == case.check)
    lines_count = script.raw.count(b"\n")
    for finding in result.findings:
        assert finding.message
        assert finding.lines and all(1 < line <= lines_count for line in finding.lines)
    assert report.clean == (SEVERITY[case.check] == "allowed" and not case.also)


def test_findings_are_told_as_reviewed() -> None:
    """findings.txt holds them in the order of the cases; a change of it is read as a diff."""
    told = []
    for case in CASES:
        for result in report_on(case.bad(), case).results:
            if result.check.name == case.check:
                told += [f"{case.check}: {f.message} {[*f.lines]}" for f in result.findings]
    text = "\n".join(told) + "\n"
    assert text == FINDINGS.read_text(), text


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_near_miss_is_not_flagged_by_any_rule(case: Case) -> None:
    report = report_on(case.near(), case)
    assert found(report) == set(), "\n".join(report.text())
    assert report.clean


def test_near_misses_exercise_every_rule() -> None:
    """They are not clean because there was nothing to check."""
    exercised = {
        result.check.name
        for case in CASES
        for result in report_on(case.near(), case).results
        if result.subjects_count and result.check.name == case.check
    }
    assert exercised == {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("script", "message", "lines"),
    [
        (
            Script().assign("c", t_0=0).sent("p", (0, "a"), (1, "b")).read("c", (1, "b")),
            "process 'c' read offset 1 from its position 0 on, not 0",
            (7,),
        ),
        (
            Script()
            .assign("c", t_0=0)
            .sent("p", *enumerate("abcdef"))
            .read("c", (0, "a"))
            .read("c", (5, "f")),
            "process 'c' read offset 5 after 0, not 1 ... 4 (4 offsets)",
            (7, 9),
        ),
    ],
)
def test_a_skip_is_told_in_words(script: Script, message: str, lines: tuple[int, ...]) -> None:
    (result,) = (r for r in verify(script.history()).results if r.check.name == "poll-skip")
    assert result.findings == [(KEY, message, lines)]
