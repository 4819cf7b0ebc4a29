"""WIRE.md says what the code does."""

import re
from pathlib import Path

from protocol import ApiKey, decode_request, decode_request_header
from protocol.codegen.table import camel_to_snake
from protocol.messages import MESSAGE_CLASSES
from protocol.primitives import ARRAY_ELEMENTS_MAX_COUNT, SPLICE_BYTES_MIN
from protocol.record_batch import DECOMPRESSED_BYTES_MAX

TEXT = (Path(__file__).parent.parent / "WIRE.md").read_text()


def test_matrix_is_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+)-(\d+) \| (\d+|never) \|", TEXT, re.MULTILINE)
    stated = {int(key): (int(a), int(b), flexible) for key, _, a, b, flexible in rows}
    actual = {
        key: (
            each.min_version,
            each.max_version,
            str(each.flexible_from) if each.flexible_from <= each.max_version else "never",
        )
        for key, each in MESSAGE_CLASSES.items()
    }
    assert stated == actual
    for key, name, *_ in rows:
        camel = MESSAGE_CLASSES[int(key)].request.__name__
        assert camel == f"{name}Request"
        assert ApiKey(int(key)).name == camel_to_snake(name).upper()


def test_limits_are_the_constants() -> None:
    assert f"{ARRAY_ELEMENTS_MAX_COUNT:,} array elements" in TEXT
    assert f"{SPLICE_BYTES_MIN} bytes" in TEXT
    assert f"{DECOMPRESSED_BYTES_MAX >> 20} MiB" in TEXT


def test_worked_example_is_true() -> None:
    block = re.search(r"```hex\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    digits = "".join(re.sub(r"#.*", "", line) for line in block[1].splitlines())
    raw = memoryview(bytes.fromhex(digits.replace(" ", "")))
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    header, at = decode_request_header(raw[4:])
    request = decode_request(header, raw[4:], at)
    assert (header.api_key, header.api_version, header.correlation_id) == (3, 9, 7)
    assert header.client_id == "me"
    assert request.topics[0].name == "t"
