import re
import shlex

import pytest

from gateway.cli import errors
from gateway.cli.errors import KafkaError, error_name
from gateway.cli.main import COMMANDS
from protocol import ErrorCode


def test_a_refusal_has_kafkas_name_the_brokers_words_and_a_remedy() -> None:
    error = KafkaError(10, "topic a", "the batch has 11 bytes")
    assert str(error) == "topic a: MESSAGE_TOO_LARGE: the batch has 11 bytes"
    assert "--message-bytes-max" in error.remedy


def test_every_code_has_a_remedy_of_some_kind() -> None:
    assert all(KafkaError(code, "x").remedy for code in ErrorCode)


def test_a_code_newer_than_our_table_has_a_name_too() -> None:
    assert error_name(3) == "UNKNOWN_TOPIC_OR_PARTITION"
    assert error_name(9999) == "error code 9999"


def test_remedies_are_for_codes_that_exist() -> None:
    assert set(errors._REMEDIES) <= set(ErrorCode.__members__)


@pytest.mark.parametrize("remedy", sorted(set(errors._REMEDIES.values())))
def test_remedies_name_commands_that_exist(remedy: str) -> None:
    for command in re.findall(r"`([^`]*)`", remedy):
        words = [word for word in shlex.split(command) if word != "woodpecker-gateway"]
        assert words[0] in COMMANDS, command
