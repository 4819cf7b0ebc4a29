"""Messages in versions that kafka-python does not know yet: its classes, made from the schemas in
the jar of the newest kafka-clients.
"""

from __future__ import annotations

import json
import re
import zipfile
from functools import cache
from typing import Any

from kafka.protocol.api_header import ResponseClassRegistry
from kafka.protocol.api_message import ApiMessage

from compat_tests.support.client import NEWEST_JAVA
from compat_tests.support.java import classpath

NAMES = ("ApiVersions", "DeleteGroups")


@cache
def newer() -> dict[str, type[ApiMessage]]:
    """Requests by the name of their API; `reply_class` of each is that of its reply.

    MissingClientError where the jar cannot be had.
    """
    jar = newest_jar()
    found = {}
    for name in NAMES:
        request = _made(jar, f"{name}Request")
        known = ResponseClassRegistry._response_class_registry[request.API_KEY]
        request.reply_class = _made(jar, f"{name}Response")
        # The client in this process goes on with what it knows.
        ResponseClassRegistry._response_class_registry[request.API_KEY] = known
        found[name] = request
    return found


def newest_jar() -> str:
    """The path of kafka-clients, without what it depends on."""
    return next(path for path in classpath(NEWEST_JAVA).split(":") if "kafka-clients" in path)


def _made(jar: str, name: str) -> Any:
    with zipfile.ZipFile(jar) as archive:
        text = archive.read(f"common/message/{name}.json").decode()
    schema = json.loads(re.sub(r"(?m)^\s*//.*$", "", text))

    def json_patch(cls: object, known: object) -> object:
        return schema

    return type(ApiMessage)(name, (ApiMessage,), {"json_patch": classmethod(json_patch)})
