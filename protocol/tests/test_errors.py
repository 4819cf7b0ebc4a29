from protocol import DecodeError, ProtocolError, UnsupportedVersion


def test_decode_error_says_what_and_where() -> None:
    error = DecodeError("no", 7)
    assert (error.reason, error.position, error.api, error.version) == ("no", 7, None, None)
    assert str(error) == "no at position 7"
    assert str(DecodeError("no", 7, api="FetchRequest", version=4)).endswith("in FetchRequest v4")


def test_unsupported_version() -> None:
    error = UnsupportedVersion(3, 99)
    assert (error.api_key, error.version) == (3, 99)
    assert "99" in str(error)


def test_one_parent() -> None:
    assert issubclass(DecodeError, ProtocolError)
    assert issubclass(UnsupportedVersion, ProtocolError)
