"""The container files name things that exist. They are read, not built: tests need no engine."""

import re
import shlex
from typing import Any

import pytest
import yaml

from compat_tests.repo.commands import parse
from compat_tests.repo.files import ROOT, read
from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS

DOCKERFILE = read("docker/Dockerfile").replace("\\\n", " ")
COMPOSE = read("docker/compose.yaml")
SINGLE = read("docker/compose.single.yaml")


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


@pytest.mark.parametrize("text", [SINGLE, COMPOSE], ids=["single", "compose"])
def test_compose_files_agree_with_the_image(text: str) -> None:
    for name, service in yaml.safe_load(text)["services"].items():
        if not name.startswith("gateway"):
            continue
        assert set(names_in(service)) <= {option.env for option in OPTIONS}
        assert service["build"] == {"context": "..", "dockerfile": "docker/Dockerfile"}
        load_config({}, {**environment(), **service["environment"]} if text is COMPOSE else {})
        assert int(service["stop_grace_period"].removesuffix("s")) * 1000 > Config().drain_ms


def names_in(service: dict[str, Any]) -> list[str]:
    return [name for name in service["environment"] if name.startswith("WOODPECKER_")]


def test_one_broker_keeps_its_data_in_the_images_volume() -> None:
    assert f':{instructions("EXPOSE")[0]}"' in SINGLE
    assert f"- data:{environment()['WOODPECKER_DATA']}" in SINGLE


def test_three_brokers_are_of_one_cluster_and_in_nobodys_way() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    brokers = {name: row for name, row in services.items() if name.startswith("gateway-")}
    configs = [load_config({}, {**environment(), **row["environment"]}) for row in brokers.values()]
    assert len(configs) == 3
    same = {(config.data, config.etcd, config.etcd_prefix, config.logs_count) for config in configs}
    assert len(same) == 1
    for differs in ("node_id", "listen_port", "advertised_port", "metrics_listen_port"):
        assert len({getattr(config, differs) for config in configs}) == 3
    published = {
        f"http://{port.rpartition(':')[0]}"
        for name in ("bucket", "etcd")
        for port in services[name]["ports"]
    }
    for config, row in zip(configs, brokers.values(), strict=True):
        assert row["network_mode"] == "host"
        assert set(row["depends_on"]) == {"bucket", "etcd"}
        assert config.advertised_port == config.listen_port
        assert {config.s3_endpoint, config.etcd} <= published
        check = row["healthcheck"]["test"]
        assert check[1] == "woodpecker-gateway"
        parse(check[2:])
        assert check[-1] == f"127.0.0.1:{config.listen_port}"
    keys = {row["environment"]["AWS_SECRET_ACCESS_KEY"] for row in brokers.values()}
    assert keys == {services["bucket"]["environment"]["MINIO_ROOT_PASSWORD"]}
    bucket = configs[0].data.removeprefix("s3://").partition("/")[0]
    assert f"mkdir -p /data/{bucket} " in services["bucket"]["entrypoint"][-1]
    volumes = {
        mount.partition(":")[0] for row in services.values() for mount in row.get("volumes", ())
    }
    assert volumes == set(yaml.safe_load(COMPOSE)["volumes"])


def test_the_image_can_speak_to_an_etcd() -> None:
    assert "/tmp/requirements-etcd.lock" in DOCKERFILE
    alone, with_etcd = (pins(name) for name in ("requirements.lock", "requirements-etcd.lock"))
    assert alone <= with_etcd
    assert {pin.partition("==")[0] for pin in with_etcd - alone} == {"grpcio"}


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9._-]+==[^ ]+", read(lock), re.MULTILINE))
