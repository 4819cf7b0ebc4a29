import subprocess
import sys
from importlib.metadata import version

import pytest

from gateway.cli.main import COMMANDS, run


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_explains_itself(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: woodpecker-gateway")
    assert all(len(line) <= 90 for line in said.splitlines())


def test_the_first_help_leads_from_start_to_first_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["--help"])
    said = capsys.readouterr().out
    for command in ("serve", "produce greetings", "consume greetings --from-beginning"):
        assert f"woodpecker-gateway {command}" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"woodpecker-gateway {version('woodpecker-gateway')}\n"


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["srve"]) == 2
    assert run(["serve", "--lsten", "x"]) == 2
    assert "--listen" in capsys.readouterr().err


def test_serving_starts_without_the_client() -> None:
    """Start-up counts: what only the client commands need is not loaded for `serve`."""
    code = (
        "import sys, gateway.__main__; from gateway.cli.main import run; run(['serve', '--help']);"
        "print({'gateway.cli.client', 'gateway.cli.connection', 'protocol', 'tomllib',"
        " 'importlib.metadata', 'socket'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
