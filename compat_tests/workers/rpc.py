"""The worker's side of the JSON-lines conversation; Python 3.7 and newer, standard library only.

Request  `{"id": 7, "op": "produce", "args": {...}}`
Response `{"id": 7, "result": ...}` or `{"id": 7, "error": {"code": 10, "name": ..., "text": ...}}`

One line each, answered in order. Bytes travel as base64, null as null. `code` is Kafka's error
code where the client names one (the client's own negative codes otherwise, null when it has none).
Whatever a library prints to stdout is sent to stderr instead, so that it cannot break a line.
"""

import base64
import json
import os
import sys


class OperationError(Exception):
    """An error in neutral words."""

    def __init__(self, code, name, text):
        super().__init__(text)
        self.wire = {"code": code, "name": name, "text": str(text)[:2000]}


def encode(value):
    return None if value is None else base64.b64encode(bytes(value)).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def headers_of(wire):
    return [(name, decode(value)) for name, value in wire["headers"]]


def record(topic, partition, offset, timestamp_ms, key, value, headers):
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp_ms": timestamp_ms,
        "key": encode(key),
        "value": encode(value),
        "headers": [[name, encode(item)] for name, item in headers or ()],
    }


def private_stdout():
    """Keeps the real stdout for answers; file descriptor 1 becomes stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def answer(out, request, result=None, error=None):
    body = {"id": request["id"]}
    body.update({"error": error} if error else {"result": result})
    out.write(json.dumps(body) + "\n")
    out.flush()


def describe(error):
    if isinstance(error, OperationError):
        return error.wire
    return {"code": None, "name": type(error).__name__, "text": str(error)[:2000]}


def serve(operations, translate):
    """Answers requests until stdin ends; `translate` knows a library's exceptions."""
    out = private_stdout()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = getattr(operations, request["op"])(**request["args"])
        except Exception as error:
            answer(out, request, error=describe(translate(error)))
        else:
            answer(out, request, result)
