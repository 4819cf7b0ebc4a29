import pytest
from kio.schema.errors import ErrorCode as KioErrorCode

from protocol import ErrorCode


def test_numbers_names_and_retriability_are_kafkas() -> None:
    ours = {(code.name.lower(), int(code), code.retriable) for code in ErrorCode}
    assert ours == {(code.name, int(code), code.retriable) for code in KioErrorCode}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_line(code: ErrorCode) -> None:
    assert code.message.endswith(".")
    assert "\n" not in code.message
