"""Kafka bytes to values and back. No I/O, no clock, no storage, no state.

The facade: other layers take names from here and message classes from protocol.messages.<api>.
What is spoken and the rules of the wire: WIRE.md beside this file.
"""

from protocol.api_keys import ApiKey
from protocol.compiled import compiled_parts
from protocol.error_codes import ErrorCode
from protocol.errors import DecodeError, ProtocolError, TooManyElements, UnsupportedVersion
from protocol.framing import (
    RequestHeader,
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
    message_classes,
)
from protocol.messages import MessageClasses
from protocol.pieces import BUFFERS, Buffer, Piece, Records, all_in_memory, in_memory
from protocol.primitives import ZERO_UUID, Message, Writer
from protocol.record_batch import (
    CRC_START,
    HEADER_BYTES,
    BatchError,
    BatchHeader,
    Record,
    build_batch,
    crc_of,
    find_max_timestamp,
    find_offset_for_timestamp,
    iter_records,
    read_header,
    said_crc,
    set_log_append_time,
    set_max_timestamp,
    stamp,
    validate_batch,
)
from protocol.record_check import RecordCheck, RecordRules, check_records, plain_records
from protocol.small_produce import SmallProduce, read_small_produce, small_answer, small_batch

__all__ = [
    "BUFFERS",
    "CRC_START",
    "HEADER_BYTES",
    "ZERO_UUID",
    "ApiKey",
    "BatchError",
    "BatchHeader",
    "Buffer",
    "DecodeError",
    "ErrorCode",
    "Message",
    "MessageClasses",
    "Piece",
    "ProtocolError",
    "Record",
    "RecordCheck",
    "RecordRules",
    "Records",
    "RequestHeader",
    "SmallProduce",
    "TooManyElements",
    "UnsupportedVersion",
    "Writer",
    "all_in_memory",
    "build_batch",
    "check_records",
    "compiled_parts",
    "crc_of",
    "decode_request",
    "decode_request_header",
    "decode_response",
    "encode_request",
    "encode_response",
    "find_max_timestamp",
    "find_offset_for_timestamp",
    "in_memory",
    "iter_records",
    "message_classes",
    "plain_records",
    "read_header",
    "read_small_produce",
    "said_crc",
    "set_log_append_time",
    "set_max_timestamp",
    "small_answer",
    "small_batch",
    "stamp",
    "validate_batch",
]
