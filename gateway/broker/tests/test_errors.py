"""The error of the broker tells what the client is told."""

from gateway.broker.errors import BrokerError
from protocol import ErrorCode


def test_without_words_of_its_own_it_has_those_of_the_code() -> None:
    code = ErrorCode.TOPIC_ALREADY_EXISTS
    assert str(BrokerError(code, "t is there")) == "t is there"
    assert str(BrokerError(code)) == code.message
    assert BrokerError(code).code is code
