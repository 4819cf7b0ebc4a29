"""The report card: which client can do what, as the last run of the tests saw it.

`pytest compat_tests/clients --report-card FILE` notes it, `python -m compat_tests.card FILE` puts
it into docs/report-card.md; `make report-card` does both.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from compat_tests.card.features import FEATURES
from compat_tests.support.client import LIBRARIES

PAGE = Path(__file__).parents[2] / "docs" / "report-card.md"
BEGIN, END = "<!-- card:begin -->", "<!-- card:end -->"
PASSED, FAILED, NONE = "yes", "**no**", "-"
HEAD = "client"

Outcomes = Mapping[str, Mapping[str, list[str]]]
"""By client and test: an outcome for each time it ran."""


def table(outcomes: Outcomes, versions: Mapping[str, str]) -> str:
    """Markdown: one row per client, one column per feature."""
    rows = [f"| {HEAD} | version | {' | '.join(FEATURES)} |", "|---|---|" + "---|" * len(FEATURES)]
    for client in LIBRARIES:
        cells = [cell(outcomes.get(client, {}), tests) for tests in FEATURES.values()]
        rows.append(f"| {client} | {versions.get(client, NONE)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(of_client: Mapping[str, list[str]], tests: tuple[str, ...]) -> str:
    """Whether all tests of a feature passed that the client has."""
    seen = [outcome for test in tests for outcome in of_client.get(test, [])]
    if not seen:
        return NONE
    return PASSED if set(seen) == {"passed"} else FAILED


def replaced(text: str, content: str, begin: str = BEGIN, end: str = END) -> str:
    """A page with something else between its marks."""
    head, _, rest = text.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise ValueError(f"the page needs the marks {begin} and {end}")
    return f"{head}{begin}\n{content}\n{end}{tail}"


def written(path: Path, outcomes: list[tuple[str, str, str]], versions: Mapping[str, str]) -> None:
    """Leaves what a run saw: client, test and outcome of each."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for client, test, outcome in outcomes:
        found[client][test].append(outcome)
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = {"outcomes": found, "versions": dict(versions)}
    path.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m compat_tests.card", description=__doc__)
    parser.add_argument("file", type=Path, help="what a run of the tests has left")
    noted = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    content = table(noted["outcomes"], noted["versions"])
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")


if __name__ == "__main__":
    main()
