"""What a comparison of Java programs found against what may differ: the rows of `allowed.toml`."""

from collections.abc import Iterable, Mapping

from compat_tests.oracle.allowed import JAVA_ROWS, Ledger, load
from compat_tests.oracle.differences import Difference


def judge(program: str, found: Mapping[str, Iterable[Difference]]) -> None:
    """Fails for what no row allows, and for rows about these steps that nothing needs."""
    names = {step: f"{program}: {step}" for step in found}
    ledger = Ledger([row for row in load(JAVA_ROWS) if any(map(row.concerns, names.values()))])
    surprises = {
        step: left
        for step, differences in found.items()
        if (left := ledger.judge(names[step], differences))
    }
    assert not surprises, "\n".join(
        "\n".join([step, *map(str, differences)]) for step, differences in surprises.items()
    )
    stale = [row.title for row in ledger.stale(names.values())]
    assert not stale, "strike out of compat_tests/java/allowed.toml: " + "; ".join(stale)
