import pytest

from gateway.api.call import error_code
from gateway.broker.errors import BrokerError
from gateway.broker.producer_state import SequenceError
from protocol import BatchError, ErrorCode
from wal_core import Corrupt, Fenced, Invalid, Truncated, Unavailable


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Fenced("x"), ErrorCode.NOT_LEADER_OR_FOLLOWER),
        (Unavailable("x"), ErrorCode.KAFKA_STORAGE_ERROR),
        (Corrupt("x"), ErrorCode.KAFKA_STORAGE_ERROR),
        (Truncated("x"), ErrorCode.OFFSET_OUT_OF_RANGE),
        (TimeoutError(), ErrorCode.REQUEST_TIMED_OUT),
        (Invalid("x"), ErrorCode.UNKNOWN_SERVER_ERROR),
        (RuntimeError("x"), ErrorCode.UNKNOWN_SERVER_ERROR),
        (BrokerError(ErrorCode.POLICY_VIOLATION), ErrorCode.POLICY_VIOLATION),
        (SequenceError(ErrorCode.INVALID_PRODUCER_EPOCH, "x"), ErrorCode.INVALID_PRODUCER_EPOCH),
        (BatchError(ErrorCode.CORRUPT_MESSAGE, "x"), ErrorCode.CORRUPT_MESSAGE),
    ],
)
def test_every_error_of_ours_has_one_of_kafkas_codes(error: Exception, code: ErrorCode) -> None:
    assert error_code(error) is code


@pytest.mark.parametrize("error", [Fenced("x"), Unavailable("x"), Corrupt("x"), TimeoutError()])
def test_trouble_with_storage_is_told_in_codes_that_clients_retry(error: Exception) -> None:
    """I10."""
    assert error_code(error).retriable
