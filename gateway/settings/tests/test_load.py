import re
from pathlib import Path

import pytest

from gateway.settings.config import Config, ConfigError
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_nothing_given_gives_the_defaults() -> None:
    assert load_config({}, {"PATH": "/bin"}) == Config()
    assert load_config({option.key: None for option in OPTIONS}, {}) == Config()


def test_a_flag_outweighs_the_environment_which_outweighs_the_file(toml: Path) -> None:
    toml.write_text('listen = "127.0.0.1:1"\nnode_id = 1\ngather_ms = "1s"\n')
    environ = {
        "WOODPECKER_CONFIG": str(toml),
        "WOODPECKER_LISTEN": "127.0.0.1:2",
        "WOODPECKER_NODE_ID": "2",
    }
    config = load_config({"listen": "127.0.0.1:3"}, environ)
    assert (config.listen_port, config.node_id, config.gather_ms) == (3, 2, 1000)


def test_the_flag_names_the_file_before_the_environment_does(toml: Path) -> None:
    toml.write_text("auto_create_topics = false\nrequest_bytes_max = 104857600\n")
    config = load_config({"config": str(toml)}, {"WOODPECKER_CONFIG": "/nowhere.toml"})
    assert not config.auto_create_topics


def test_an_empty_variable_is_not_given() -> None:
    assert load_config({}, {"WOODPECKER_DATA": "", "WOODPECKER_CONFIG": ""}) == Config()


def test_names_that_kubernetes_makes_are_left_alone() -> None:
    environ = {
        "WOODPECKER_SERVICE_HOST": "10.0.0.1",
        "WOODPECKER_SERVICE_PORT": "9092",
        "WOODPECKER_SERVICE_PORT_KAFKA": "9092",
        "WOODPECKER_PORT": "tcp://10.0.0.1:9092",
        "WOODPECKER_PORT_9092_TCP": "tcp://10.0.0.1:9092",
        "WOODPECKER_PORT_9092_TCP_ADDR": "10.0.0.1",
        "WOODPECKER_GATEWAY_PORT": "tcp://10.0.0.1:9092",
        "WOODPECKER_GATEWAY_PORT_9092_TCP_PROTO": "tcp",
    }
    assert load_config({}, environ) == Config()


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        (
            {"listen": "9092"},
            {},
            "listen is '9092' (from the flag --listen), expected HOST:PORT",
        ),
        (
            {"auto_create_topics": "maybe"},
            {},
            "(from the flag --auto-create), expected true or false",
        ),
        (
            {},
            {"WOODPECKER_NODE_ID": "one"},
            "node_id is 'one' (from the environment, WOODPECKER_NODE_ID), expected a whole number",
        ),
        (
            {},
            {"WOODPECKER_LISTN": "x"},
            "expected a known setting; did you mean WOODPECKER_LISTEN?",
        ),
        ({}, {"WOODPECKER_PORT": "9092"}, "WOODPECKER_PORT is '9092'"),
        (
            {"data": "memory:"},
            {"WOODPECKER_MODE": "file"},
            "mode is 'file' (from the environment, WOODPECKER_MODE), expected object",
        ),
        ({"no_such_flag": "1"}, {}, "expected a known setting"),
        (
            {"config": "/nowhere.toml"},
            {},
            "config is '/nowhere.toml' (from the flag --config), expected a TOML file that",
        ),
        (
            {},
            {"WOODPECKER_CONFIG": "/nowhere.toml"},
            "(from the environment, WOODPECKER_CONFIG), expected a TOML file that can be read",
        ),
    ],
)
def test_a_refusal_names_key_value_expectation_and_source(
    flags: dict[str, object], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(flags, environ)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listn = 1\n", "key listn), expected a known setting; did you mean listen?"),
        ("gather_ms = 1.5\n", "gather_ms is 1.5 (from the file"),
        ("node_id = true\n", "node_id is True (from the file"),
        ("node_id = \n", "expected valid TOML"),
        ("[topics]\nauto_create = true\n", "key topics), expected a known setting"),
        ('mode = "file"\ndata = "memory:"\n', "key mode), expected object"),
    ],
)
def test_a_refusal_names_the_file_and_the_key(toml: Path, text: str, message: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load_config({"config": str(toml)}, {})
    assert str(toml) in str(caught.value)


def test_a_file_that_is_not_text_is_refused(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="valid TOML"):
        load_config({"config": str(toml)}, {})
