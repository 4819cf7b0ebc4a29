"""`verify`: read a recorded history and say what a log should not have done."""

import json
import sys

import click

from gateway.cli.errors import complain
from gateway.cli.options import DURATION, HELP


@click.command(context_settings=HELP)
@click.argument("history", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--lag-max",
    "lag_ms_max",
    type=DURATION,
    default=None,
    help="Longest time from an acknowledgement to a consumer; unlimited without it.",
)
@click.option(
    "--findings",
    "findings_count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many anomalies of a kind to show.",
)
def verify(history: str, as_json: bool, lag_ms_max: int | None, findings_count: int) -> int:
    """Check a recorded HISTORY of producers and consumers ("-": standard input).

    A history is a file of JSON lines, one for each operation's beginning and end; its format is
    described in gateway/verify/HISTORY.md, and any client of any broker can write it. Lost,
    repeated, reordered and changed records are found, and reported with their lines; what a
    history cannot show is listed as skipped.

    \b
    Exit code: 0 no anomaly, 1 anomalies, 2 the file is not a history.

    \b
        woodpecker-gateway verify history.jsonl
        woodpecker-gateway verify history.jsonl --lag-max 30s --json
    """
    from gateway.verify import Unreadable, load_history  # noqa: PLC0415 - after the help
    from gateway.verify import verify as run_checks  # noqa: PLC0415

    try:
        with click.open_file(history, "rb") as file:
            loaded = load_history(file)
    except OSError as e:
        complain(f"{history}: {e.strerror or e}", "the path of a recorded history, or -")
        return 2
    except Unreadable as e:
        complain(f"{history}, {e}", "the format that gateway/verify/HISTORY.md describes")
        return 2
    report = run_checks(loaded, lag_ms_max=lag_ms_max, findings_max_count=findings_count)
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        click.echo()
    else:
        for line in report.text():
            click.echo(line)
    return 0 if report.clean else 1
