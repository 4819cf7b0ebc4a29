"""What a cloud store's answer means for us, and how to say it in one sentence.

The library raises a few classes whose text holds everything: HTTP status, the store's own error
code and message, or what the network did. Only those parts are ever shown: the rest of the text
may hold addresses with signatures in them.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from wal_core.stores.objects.cloud_remedies import Remedies


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
_MESSAGE = re.compile(r"<Message>([^<\n]{1,300})")  # the first line: Azure's second is a number
_SYSTEM = re.compile(r'(?:message|error): "([^"]{1,200})"')
_DEBUG = "\n\nDebug source"
_RANGE_BEHIND = "Wanted range starting at"  # the library's own, of a store that sends all instead
_METADATA_ADDRESSES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")

_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Said with status 400, although repeating helps.
_PASSING_CODES = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "SlowDown"})

_NO_BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound"})
_SIGNING = "token request"  # in errors of what gives out tokens, not of the store


def understand(error: Exception, remedies: Remedies) -> Problem:
    """Sort an error of the library into what the caller must do, with a text for people."""
    text = str(error)
    name = type(error).__name__
    status_match, code_match = _STATUS.search(text), _CODE.search(text)
    status = int(status_match[1]) if status_match else 0
    code = code_match[1] if code_match else ""
    if name == "AlreadyExistsError":
        return Problem(Kind.EXISTS, "the key exists", answered=True)
    if name == "FileNotFoundError" and code not in _NO_BUCKET_CODES:
        return Problem(Kind.MISSING, "no such object", answered=True)
    if status == 416 or _RANGE_BEHIND in text:
        return Problem(Kind.OUT_OF_RANGE, "the range lies behind the end", answered=True)
    if refusal := _signing_in(text.partition(_DEBUG)[0], status, remedies):
        return refusal
    if status:
        return _from_answer(status, code, _MESSAGE.search(text), remedies)
    return _without_answer(name, text, remedies)


def _signing_in(said: str, status: int, remedies: Remedies) -> Problem | None:
    """What was asked for a token, before the store was asked for anything, and has none for us."""
    if any(address in said for address in _METADATA_ADDRESSES):
        return Problem(Kind.REFUSED, remedies.no_keys, answered=False)
    if _SIGNING in said and 400 <= status < 500 and status not in _PASSING_STATUS:
        text = f"signing in is refused with {status}; {remedies.keys}"
        return Problem(Kind.REFUSED, text, answered=False)
    return None


def _from_answer(
    status: int, code: str, message: re.Match[str] | None, remedies: Remedies
) -> Problem:
    said = f"{status} {code}".strip()
    if message:
        said += f" ({message[1].strip()})"
    if code in _PASSING_CODES or status in _PASSING_STATUS or (status > 501 and status != 505):
        return Problem(Kind.LATER, f"the store answers {said}", answered=True)
    remedy = remedies.of(status, code)
    text = f"the store refuses with {said}"
    return Problem(Kind.REFUSED, f"{text}; {remedy}" if remedy else text, answered=True)


def _without_answer(name: str, text: str, remedies: Remedies) -> Problem:
    if "redirect without LOCATION" in text:
        return Problem(Kind.REFUSED, f"it is elsewhere; {remedies.elsewhere}", answered=True)
    if "MissingEtag" in text or "NotPartial" in text or "MissingLastModified" in text:
        said = "what answers there does not speak the store's protocol; check the endpoint"
        return Problem(Kind.REFUSED, said, answered=True)
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return Problem(Kind.REFUSED, f"the store refuses; {remedies.rights}", answered=True)
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
