"""What a cloud store's answer means for us, and how to say it in one sentence.

The library raises a few classes whose text holds everything: HTTP status, the store's own error
code and message, or what the network did. Only those parts are ever shown: the rest of the text
may hold addresses with signatures in them.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple


class Kind(enum.Enum):
    """What the caller has to do."""

    LATER = enum.auto()  # the same call may succeed by itself
    REFUSED = enum.auto()  # somebody has to change a setting, a right or a bucket
    EXISTS = enum.auto()  # the key is taken, or another create of it is under way
    MISSING = enum.auto()  # there is no such object
    OUT_OF_RANGE = enum.auto()  # the range begins at or after the end of the object


class Problem(NamedTuple):
    """One failed call, understood."""

    kind: Kind
    text: str
    answered: bool  # the store itself spoke: the endpoint is right


_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_SYSTEM = re.compile(r'(?:message|error): "([^"]{1,200})"')
_DEBUG = "\n\nDebug source"
_METADATA_ADDRESSES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")

_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Said with status 400, although repeating helps.
_PASSING_CODES = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "SlowDown"})

_KEYS_REMEDY = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN"
)
_RIGHTS_REMEDY = (
    "the credentials need the rights to list the bucket and to get, put and delete its objects"
)
_REGION_REMEDY = "set the bucket's own region with --s3-region or AWS_REGION"
_CONDITION_REMEDY = (
    "the store has to support conditional writes (PUT with If-None-Match), which keep two writers "
    "out of one log"
)
_NO_KEYS = (
    "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with "
    "AWS_PROFILE, or give this machine a role"
)
_REMEDIES = {
    "NoSuchBucket": "create the bucket or correct --data",
    "InvalidBucketName": "correct the bucket's name in --data",
    "InvalidAccessKeyId": _KEYS_REMEDY,
    "SignatureDoesNotMatch": _KEYS_REMEDY,
    "InvalidToken": _KEYS_REMEDY,
    "ExpiredToken": _KEYS_REMEDY,
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": _REGION_REMEDY,
    "PermanentRedirect": _REGION_REMEDY,
    "NotImplemented": _CONDITION_REMEDY,
}
_STATUS_REMEDIES = {401: _KEYS_REMEDY, 403: _RIGHTS_REMEDY, 501: _CONDITION_REMEDY}


def understand(error: Exception) -> Problem:
    """Sort an error of the library into what the caller must do, with a text for people."""
    text = str(error)
    name = type(error).__name__
    status_match, code_match = _STATUS.search(text), _CODE.search(text)
    status = int(status_match[1]) if status_match else 0
    code = code_match[1] if code_match else ""
    if name == "AlreadyExistsError":
        return Problem(Kind.EXISTS, "the key exists", answered=True)
    if name == "FileNotFoundError" and code != "NoSuchBucket":
        return Problem(Kind.MISSING, "no such object", answered=True)
    if any(address in text.partition(_DEBUG)[0] for address in _METADATA_ADDRESSES):
        return Problem(Kind.REFUSED, _NO_KEYS, answered=False)
    if status == 416:
        return Problem(Kind.OUT_OF_RANGE, "the range lies behind the end", answered=True)
    if status:
        return _from_answer(status, code, _MESSAGE.search(text))
    return _without_answer(name, text)


def _from_answer(status: int, code: str, message: re.Match[str] | None) -> Problem:
    said = f"{status} {code}".strip()
    if message:
        said += f" ({message[1].strip()})"
    if code in _PASSING_CODES or status in _PASSING_STATUS or (status > 501 and status != 505):
        return Problem(Kind.LATER, f"the store answers {said}", answered=True)
    remedy = _REMEDIES.get(code) or _STATUS_REMEDIES.get(status)
    text = f"the store refuses with {said}"
    return Problem(Kind.REFUSED, f"{text}; {remedy}" if remedy else text, answered=True)


def _without_answer(name: str, text: str) -> Problem:
    if "redirect without LOCATION" in text:
        return Problem(Kind.REFUSED, f"the bucket is elsewhere; {_REGION_REMEDY}", answered=True)
    if "MissingEtag" in text or "NotPartial" in text or "MissingLastModified" in text:
        said = "what answers there does not speak the store's protocol; check the endpoint"
        return Problem(Kind.REFUSED, said, answered=True)
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return Problem(Kind.REFUSED, f"the store refuses; {_RIGHTS_REMEDY}", answered=True)
    if name in ("InvalidPathError", "ValueError", "TypeError"):
        return Problem(Kind.REFUSED, f"the library refuses the call ({name})", answered=False)
    if "kind: Timeout" in text or "TimedOut" in text:
        return Problem(Kind.LATER, "no answer in time", answered=False)
    system = _SYSTEM.search(text.partition(_DEBUG)[2])
    reason = system[1] if system else "the connection failed"
    if "InvalidContentType" in text:
        reason = "it does not speak TLS; write the endpoint with http://"
    elif "certificate" in text.lower():
        reason = "its certificate is not trusted; name the authority's file in AWS_CA_BUNDLE"
    return Problem(Kind.LATER, f"no connection: {reason}", answered=False)
