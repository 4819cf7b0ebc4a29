"""What errors of the library mean: texts as it writes them, and secrets that must not be shown."""

from __future__ import annotations

import pytest
from obstore import exceptions

from wal_core.stores.objects.cloud_errors import Kind, understand


def answered(status: str, code: str = "", message: str = "m") -> str:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return (
        "Generic S3 error: Error performing PUT https://x/bucket/key?sig=geheim in 1ms - "
        f"Server returned non-2xx status code: {status}: {body}\n\nDebug source:\nGeneric {{ }}"
    )


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        ("503 Service Unavailable", "SlowDown", Kind.LATER, "503 SlowDown (m)"),
        ("500 Internal Server Error", "InternalError", Kind.LATER, "500 InternalError"),
        ("502 Bad Gateway", "", Kind.LATER, "502"),
        ("522 Anything", "", Kind.LATER, "522"),
        ("429 Too Many Requests", "", Kind.LATER, "429"),
        ("409 Conflict", "OperationAborted", Kind.LATER, "409"),
        ("400 Bad Request", "RequestTimeout", Kind.LATER, "400 RequestTimeout"),
        ("400 Bad Request", "InvalidArgument", Kind.REFUSED, "400 InvalidArgument"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", Kind.REFUSED, "--s3-region"),
        ("401 Unauthorized", "", Kind.REFUSED, "AWS_ACCESS_KEY_ID"),
        ("403 Forbidden", "AccessDenied", Kind.REFUSED, "rights"),
        ("403 Forbidden", "SignatureDoesNotMatch", Kind.REFUSED, "AWS_SECRET_ACCESS_KEY"),
        ("403 Forbidden", "RequestTimeTooSkewed", Kind.REFUSED, "clock"),
        ("404 Not Found", "NoSuchBucket", Kind.REFUSED, "create the bucket"),
        ("405 Method Not Allowed", "", Kind.REFUSED, "405"),
        ("416 Range Not Satisfiable", "InvalidRange", Kind.OUT_OF_RANGE, "behind the end"),
        ("501 Not Implemented", "NotImplemented", Kind.REFUSED, "conditional writes"),
    ],
)
def test_answers(status, code, kind, said):
    problem = understand(exceptions.GenericError(answered(status, code)))
    assert problem.kind is kind
    assert said in problem.text
    assert problem.answered
    assert "geheim" not in problem.text


def test_classes():
    assert understand(exceptions.AlreadyExistsError("x")).kind is Kind.EXISTS
    assert understand(FileNotFoundError("x")).kind is Kind.MISSING
    no_bucket = FileNotFoundError(answered("404 Not Found", "NoSuchBucket"))
    assert understand(no_bucket).kind is Kind.REFUSED
    assert understand(exceptions.PermissionDeniedError("x")).kind is Kind.REFUSED
    assert understand(ValueError("range")).kind is Kind.REFUSED


def debug(inner: str) -> str:
    return (
        "Generic S3 error: Error performing PUT http://h/b/k?sig=geheim in 1ms - HTTP error: error "
        f"sending request\n\nDebug source:\nGeneric {{ uri: http://h/b/k?sig=geheim, {inner} }}"
    )


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ('Os { code: 111, message: "Connection refused" }', "Connection refused"),
        ('"dns error", Custom { error: "failed to lookup address" }', "failed to lookup address"),
        ("kind: Timeout, source: TimedOut", "no answer in time"),
        ("InvalidMessage(InvalidContentType)", "http://"),
        ("InvalidCertificate(UnknownIssuer)", "AWS_CA_BUNDLE"),
        ("something new", "the connection failed"),
    ],
)
def test_what_the_network_did(inner, said):
    problem = understand(exceptions.GenericError(debug(inner)))
    assert problem.kind is Kind.LATER
    assert said in problem.text
    assert not problem.answered
    assert "geheim" not in problem.text


def test_without_credentials_the_library_asks_the_machine_and_we_say_so():
    text = "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: x"
    problem = understand(exceptions.GenericError(text))
    assert problem.kind is Kind.REFUSED
    assert "AWS_PROFILE" in problem.text
    assert not problem.answered
