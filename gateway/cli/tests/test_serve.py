import sys
from types import ModuleType

import pytest

from gateway.cli.main import run
from gateway.settings.config import Config
from gateway.settings.options import ESSENTIAL_SECTIONS, OPTIONS


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Configs that a server was started with; the server itself is a stand-in."""
    configs: list[Config] = []

    def start(config: Config) -> int:
        configs.append(config)
        return 3

    server = ModuleType("gateway.serving")
    server.run = start  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gateway.serving", server)
    monkeypatch.setattr("gateway.cli.serve.setup_logging", lambda level, style: None)
    for option in OPTIONS:
        monkeypatch.delenv(option.env, raising=False)
    return configs


def test_the_servers_exit_code_is_the_commands(served: list[Config]) -> None:
    assert run(["serve"]) == 3
    assert served == [Config()]


def test_flags_reach_the_config(served: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WOODPECKER_NODE_ID", "4")
    run(["serve", "--listen", "127.0.0.1:0", "--data", "memory:", "--no-auto-create"])
    assert served == [Config(listen_port=0, data="memory:", auto_create_topics=False, node_id=4)]
    run(["serve", "--auto-create", "--mode", "object", "--request-bytes-max", "64MiB"])
    assert served[1].auto_create_topics
    assert (served[1].mode, served[1].request_bytes_max) == ("object", 64 * 2**20)


def test_a_wrong_setting_is_exit_code_two(
    served: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--data", "memory:", "--mode", "file"]) == 2
    said = capsys.readouterr().err
    assert "mode is 'file' (from the flag --mode), expected object" in said
    assert "Traceback" not in said
    assert served == []


def test_help_shows_what_matters_first_and_everything_on_demand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["serve", "--help"])
    short = capsys.readouterr().out
    run(["serve", "--help-all"])
    full = capsys.readouterr().out
    for option in OPTIONS:
        assert option.flag in full
        assert (f"{option.flag} " in short) == (option.section in ESSENTIAL_SECTIONS)
    assert "--help-all" in short
