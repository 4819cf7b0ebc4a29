"""Makes small histories, an operation per call; nothing overlaps unless it is begun and ended."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.verify import HistoryWriter, Recorded, poll, send
from gateway.verify.lines import Process, Value
from gateway.verify.load import load_history
from gateway.verify.model import History

KEY = "t-0"
At = tuple[int, Value]


class Script:
    """A history under construction; one millisecond passes per line unless `wait` is called."""

    def __init__(self, **header: Any) -> None:
        self._bytes = io.BytesIO()
        self._now_ms = 0.0
        self.writer = HistoryWriter(self._bytes, self._tick, **header)

    def _tick(self) -> float:
        self._now_ms += 1
        return self._now_ms

    def wait(self, ms: float) -> "Script":
        self._now_ms += ms
        return self

    def begin(self, process: Process, *values: Value, key: str = KEY, **fields: Any) -> Recorded:
        return self.writer.invoke(process, "send", [send(key, v) for v in values], **fields)

    def end(self, op: Recorded, *acks: At, key: str = KEY) -> "Script":
        op.ok([send(key, value, offset) for offset, value in acks])
        return self

    def sent(self, process: Process, *acks: At, key: str = KEY, **fields: Any) -> "Script":
        """Sent and acknowledged."""
        return self.end(
            self.begin(process, *(v for _, v in acks), key=key, **fields), *acks, key=key
        )

    def unsure(self, process: Process, *values: Value, key: str = KEY, **fields: Any) -> "Script":
        self.begin(process, *values, key=key, **fields).info("REQUEST_TIMED_OUT")
        return self

    def failed(self, process: Process, *values: Value, key: str = KEY, **fields: Any) -> "Script":
        self.begin(process, *values, key=key, **fields).fail("RECORD_TOO_LARGE")
        return self

    def read(
        self,
        process: Process,
        *records: At,
        key: str = KEY,
        observed: Mapping[str, int] | None = None,
        **fields: Any,
    ) -> "Script":
        """One poll, with what it got."""
        op = self.writer.invoke(process, "poll", [poll()], **fields)
        more: dict[str, Any] = {} if observed is None else {"observed": {key: observed}}
        op.ok([poll({key: records})], **more)
        return self

    def told(self, process: Process, *, key: str = KEY, **observed: int) -> "Script":
        """list_offsets."""
        op = self.writer.invoke(process, "list_offsets")
        op.ok(observed={key: observed})
        return self

    def assign(self, process: Process, **positions: int | None) -> "Script":
        """`t_0=5` is key t-0 from offset 5."""
        value = {key.replace("_", "-"): offset for key, offset in positions.items()}
        self.writer.invoke(process, "assign", value).ok()
        return self

    def subscribe(self, process: Process, **fields: Any) -> "Script":
        self.writer.invoke(process, "subscribe", ["t"], **fields).ok()
        return self

    def txn(
        self,
        process: Process,
        *sends: tuple[str, int | None, Value],
        read: Mapping[str, Sequence[At]] | None = None,
        outcome: str = "ok",
    ) -> "Script":
        """One transaction that sends (key, offset, value) and then polls."""
        asked = [send(key, value) for key, _, value in sends]
        told = [send(key, value, offset, told=True) for key, offset, value in sends]
        polled = [poll()] if read is not None else []
        op = self.writer.invoke(process, "txn", [*asked, *polled])
        if outcome == "ok":
            op.ok([*told, *([poll(read)] if read is not None else [])])
        elif outcome == "info":
            op.info("REQUEST_TIMED_OUT")
        else:
            op.fail("ABORTED")
        return self

    def commit(self, group: str, offset: int, *, key: str = KEY) -> "Script":
        self.writer.invoke("m", "commit", {key: offset}, group=group).ok()
        return self

    def committed(self, group: str, offset: int | None, *, key: str = KEY) -> "Script":
        self.writer.invoke("m", "committed", group=group).ok({key: offset})
        return self

    @property
    def raw(self) -> bytes:
        return self._bytes.getvalue()

    def history(self) -> History:
        return load_history(self.raw.splitlines(keepends=True))
