"""The container files name things that exist. They are read, not built: tests need no engine."""

import re
import shlex

from compat_tests.repo.commands import parse
from compat_tests.repo.files import ROOT, read
from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS

DOCKERFILE = read("docker/Dockerfile").replace("\\\n", " ")
COMPOSE = read("docker/compose.yaml")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^\s*{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)


def environment() -> dict[str, str]:
    (line,) = instructions("ENV")
    return dict(pair.split("=", 1) for pair in shlex.split(line))


def exec_form(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def test_the_image_starts_a_command_that_exists() -> None:
    (entrypoint,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")[-1:]
    assert exec_form(entrypoint) == ["woodpecker-gateway"]
    parse(exec_form(command))


def test_the_health_check_exists_and_reaches_the_listening_port() -> None:
    (check,) = re.findall(r"HEALTHCHECK .*CMD (\[.*\])", DOCKERFILE)
    program, *arguments = exec_form(check)
    assert program == "woodpecker-gateway"
    parse(arguments)
    assert environment()["WOODPECKER_LISTEN"].endswith(":9092")  # the command's default


def test_the_environment_is_a_valid_configuration() -> None:
    config = load_config({}, environment())
    assert config.listen_host == "0.0.0.0"
    assert instructions("EXPOSE") == [str(config.listen_port)]
    assert instructions("VOLUME") == [config.data]
    assert instructions("USER") == ["gateway"]


def test_what_is_copied_exists_and_is_let_through() -> None:
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    for line in instructions("COPY"):
        *sources, _ = line.split()
        if sources[0].startswith("--from"):
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in allowed, source


def test_compose_agrees_with_the_image() -> None:
    names = set(re.findall(r"^\s+(WOODPECKER_[A-Z_]+):", COMPOSE, re.MULTILINE))
    assert names <= {option.env for option in OPTIONS}
    assert "dockerfile: docker/Dockerfile" in COMPOSE
    assert f':{instructions("EXPOSE")[0]}"' in COMPOSE
    assert f"- data:{environment()['WOODPECKER_DATA']}" in COMPOSE


def test_compose_waits_longer_than_the_drain() -> None:
    (grace_s,) = re.findall(r"stop_grace_period: (\d+)s", COMPOSE)
    assert int(grace_s) * 1000 > Config().drain_ms
