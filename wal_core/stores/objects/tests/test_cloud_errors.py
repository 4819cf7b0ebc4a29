"""What errors of the library mean: texts as it writes them, and secrets that must not be shown."""

from __future__ import annotations

import pytest
from obstore import exceptions

from wal_core.stores.objects.cloud_errors import Kind, Problem, understand
from wal_core.stores.objects.cloud_remedies import REMEDIES


def understood(error: Exception, scheme: str = "s3") -> Problem:
    return understand(error, REMEDIES[scheme])


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
    problem = understood(exceptions.GenericError(answered(status, code)))
    assert problem.kind is kind
    assert said in problem.text
    assert problem.answered
    assert "geheim" not in problem.text


def test_classes():
    assert understood(exceptions.AlreadyExistsError("x")).kind is Kind.EXISTS
    assert understood(FileNotFoundError("x")).kind is Kind.MISSING
    no_bucket = FileNotFoundError(answered("404 Not Found", "NoSuchBucket"))
    assert understood(no_bucket).kind is Kind.REFUSED
    assert understood(exceptions.PermissionDeniedError("x")).kind is Kind.REFUSED
    assert understood(ValueError("range")).kind is Kind.REFUSED


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
    problem = understood(exceptions.GenericError(debug(inner)))
    assert problem.kind is Kind.LATER
    assert said in problem.text
    assert not problem.answered
    assert "geheim" not in problem.text


def test_without_credentials_the_library_asks_the_machine_and_we_say_so():
    text = "Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: x"
    problem = understood(exceptions.GenericError(text))
    assert problem.kind is Kind.REFUSED
    assert "AWS_PROFILE" in problem.text
    assert not problem.answered


@pytest.mark.parametrize(
    ("scheme", "status", "code", "said"),
    [
        ("gs", "401 Unauthorized", "AuthenticationRequired", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs", "403 Forbidden", "AccessDenied", "roles/storage.objectUser"),
        ("gs", "404 Not Found", "NoSuchBucket", "create the bucket"),
        ("gs", "400 Bad Request", "UserProjectMissing", "requesters pay"),
        ("gs", "501 Not Implemented", "NotImplemented", "x-goog-if-generation-match"),
        ("az", "403 Forbidden", "AuthenticationFailed", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("az", "403 Forbidden", "AuthorizationFailure", "firewall"),
        ("az", "403 Forbidden", "AuthorizationPermissionMismatch", "Storage Blob Data Contributor"),
        ("az", "403 Forbidden", "", "Storage Blob Data Contributor"),
        ("az", "403 Forbidden", "KeyBasedAuthenticationNotPermitted", "takes no keys"),
        ("az", "404 Not Found", "ContainerNotFound", "create the container"),
        ("az", "400 Bad Request", "InvalidResourceName", "the container's name"),
    ],
)
def test_remedies_in_the_words_of_the_cloud(scheme, status, code, said):
    problem = understood(exceptions.GenericError(answered(status, code)), scheme)
    assert problem.kind is Kind.REFUSED
    assert said in problem.text
    assert "AWS_" not in problem.text


def test_azures_message_is_shown_without_the_numbers_behind_it():
    text = answered("403 Forbidden", "AuthenticationFailed", "No.\nRequestId:1\nTime:2")
    problem = understood(exceptions.GenericError(text), "az")
    assert "AuthenticationFailed (No.); check" in problem.text


def test_a_missing_container_is_not_a_missing_blob():
    missing = FileNotFoundError(answered("404 Not Found", "ContainerNotFound"))
    assert understood(missing, "az").kind is Kind.REFUSED
    missing = FileNotFoundError(answered("404 Not Found", "BlobNotFound"))
    assert understood(missing, "az").kind is Kind.MISSING


def test_a_range_behind_the_end_that_is_answered_with_the_whole_object():
    text = "Generic MicrosoftAzure error: Wanted range starting at 3, but object was only 3 bytes"
    assert understood(exceptions.GenericError(text), "az").kind is Kind.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("scheme", "host", "said"),
    [
        ("gs", "oauth2.example/token", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az", "login.example/x/oauth2/v2.0/token", "AZURE_STORAGE_ACCOUNT_KEY"),
    ],
)
def test_a_refusal_of_whoever_gives_out_tokens_speaks_of_keys(scheme, host, said):
    text = (
        f"Generic error: Error performing token request: Error performing POST https://{host} in "
        "1ms - Server returned non-2xx status code: 400 Bad Request: {}"
    )
    problem = understood(exceptions.GenericError(text), scheme)
    assert problem.kind is Kind.REFUSED
    assert said in problem.text
    assert not problem.answered
    passing = understood(exceptions.GenericError(text.replace("400 Bad", "503 Bad")), scheme)
    assert passing.kind is Kind.LATER


@pytest.mark.parametrize(
    ("scheme", "said"), [("gs", "service account"), ("az", "managed identity")]
)
def test_without_credentials_each_store_says_which(scheme, said):
    text = "Error performing token request: Error performing GET http://169.254.169.254/x in 1s: no"
    assert said in understood(exceptions.GenericError(text), scheme).text
