"""Single lines: what each kind may say, and that nothing else is taken for it."""

import pytest

from gateway.verify.lines import (
    BucketLine,
    EventLine,
    Invoke,
    Ok,
    Poll,
    PutLine,
    Send,
    Unreadable,
    decode_line,
)


def test_operations_and_what_they_carry() -> None:
    line = decode_line(
        b'{"type":"invoke","process":"p","f":"send","time_ms":1.5,"acks":0,'
        b'"value":[["send","k",7]]}',
        2,
    )
    assert isinstance(line, Invoke)
    assert (line.process, line.acks, line.value) == ("p", 0, [Send("k", 7)])
    line = decode_line(
        b'{"type":"ok","process":1,"f":"poll","time_ms":2,"value":[["poll",{"k":[[0,"a"]]}]],'
        b'"observed":{"k":{"high_watermark":1}}}',
        3,
    )
    assert isinstance(line, Ok)
    assert line.value == [Poll({"k": [(0, "a")]})]
    assert line.observed is not None
    assert (line.observed["k"].high_watermark, line.observed["k"].log_start) == (1, None)


def test_what_happened_beside_them() -> None:
    event = decode_line(b'{"type":"event","event":"crash","time_ms":1}', 1)
    put = decode_line(b'{"type":"put","key":"k","time_ms":1,"writer":"w"}', 1)
    bucket = decode_line(b'{"type":"bucket","listed":["a"],"named":[],"time_ms":1}', 1)
    assert isinstance(event, EventLine)
    assert isinstance(put, PutLine)
    assert isinstance(bucket, BucketLine)
    assert (event.event, put.writer, bucket.listed) == ("crash", "w", ["a"])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the line is empty"),
        (b" \n", "the line is empty"),
        (b'{"type":"put","key":"k"}', "`time_ms`"),
        (b'{"type":"event","event":"x","time_ms":1,"nod":1}', "unknown field `nod`"),
        (b'{"type":"ok","process":1,"f":"x","time_ms":1,"observed":{"k":{"hw":1}}}', "`hw`"),
        (b'{"type":"\xff"}', "utf-8"),
        (b"[" * 100_000, ""),
    ],
)
def test_what_is_no_line_is_refused_with_its_number(raw: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as refused:
        decode_line(raw, 12)
    assert refused.value.line == 12
    assert said in refused.value.problem.lower() or said in refused.value.problem
