"""Readers of old data that are on the way through one stream, and who of them waits for whom.

Readers that are scattered over more than the cache holds would each load all that lies before them:
what one has loaded is forgotten before the next comes by. So where there is such a crowd, one that
would have to load something waits for those that come up from behind, and goes on with them: what
is loaded then serves all. It waits only for those who will be there soon, and never for long, so a
slow reader keeps nobody.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

STALE_S = 1.0
"""Who has not asked for so long has gone, or has as much as it wants for now."""

ARRIVAL_S_MAX = 10.0
"""Whoever will take longer to come is not waited for."""

HOLD_S_MAX = 3.0
"""So long at most one read waits; its client may want records of other partitions too, and gives up
after some ten times that."""

_YOUNG_S = 0.5
"""Before that nobody knows how fast a reader is: it is taken to be fast enough."""

_SCANS_MAX_COUNT = 1_000
"""Of one stream. There are more only where clients leap about: then nobody waits."""

_STREAMS_MAX_COUNT = 256
"""Of which readers are known; those of the stream that was read longest ago are forgotten."""


class Scan:
    """A reader, known by where it goes on."""

    __slots__ = ("began_at", "began_s", "moved_s", "position", "waiting")

    def __init__(self, position: int, now_s: float) -> None:
        self.began_at = self.position = position
        self.began_s = self.moved_s = now_s
        self.waiting: asyncio.Future[None] | None = None

    def is_there_soon(self, position: int, now_s: float) -> bool:
        """At the speed it has had so far."""
        age_s = now_s - self.began_s
        if age_s < _YOUNG_S:
            return True
        per_s = (self.position - self.began_at) / age_s
        return position - self.position <= per_s * ARRIVAL_S_MAX


class Scans:
    """Of one log. Positions count the payload bytes of a stream. The clock is the loop's."""

    def __init__(self, window_bytes: int, crowd_count: int) -> None:
        """`window_bytes`: what lies so far behind the foremost reader is still cached when the
        last one comes. `crowd_count`: so many readers of a stream leave each other alone."""
        self._window_bytes = window_bytes
        self._crowd_count = crowd_count
        # Of each stream by the offset that is asked for next.
        self._streams: OrderedDict[int, dict[int, Scan]] = OrderedDict()

    def moved(self, stream_id: int, offset: int, end_offset: int, position: int) -> None:
        """Who asked for `offset` has got what lies before `end_offset`, up to `position`."""
        now_s = asyncio.get_running_loop().time()
        scans = self._of_stream(stream_id)
        scan = scans.pop(offset, None) or Scan(position, now_s)
        scan.position = position
        scan.moved_s = now_s
        scans[end_offset] = scan  # who was there is with this one from now on
        for other in scans.values():
            if other.waiting is not None and other.position - self._window_bytes <= position:
                _wake(other)
        if len(scans) > self._crowd_count:
            for at, other in list(scans.items()):
                if other.waiting is None and now_s - other.moved_s >= STALE_S:
                    del scans[at]

    def must_wait(self, stream_id: int, offset: int, position: int) -> bool:
        """Whether what is asked for should not be loaded now; whoever asks is noted."""
        now_s = asyncio.get_running_loop().time()
        scan = self._scan(stream_id, offset, position, now_s)
        scans = self._of_stream(stream_id)
        if not self._crowd_count < len(scans) <= _SCANS_MAX_COUNT:
            return False
        last = position - self._window_bytes
        return any(
            other.position < last
            and other.waiting is None
            and now_s - other.moved_s < STALE_S
            and other.is_there_soon(position, now_s)
            for other in scans.values()
            if other is not scan
        )

    async def turn(self, stream_id: int, offset: int, position: int) -> bool:
        """Returns when what is asked for should be loaded; False: it has been waited for long
        enough, and more than that should not."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + HOLD_S_MAX
        while self.must_wait(stream_id, offset, position):
            if loop.time() >= end_s:
                return False
            scan = self._scan(stream_id, offset, position, loop.time())
            if scan.waiting is None:
                scan.waiting = loop.create_future()
            try:
                # Those behind may go without a word.
                await asyncio.wait([scan.waiting], timeout=STALE_S)
            finally:
                _wake(scan)
                scan.began_at, scan.began_s = scan.position, loop.time()
        return True

    def _scan(self, stream_id: int, offset: int, position: int, now_s: float) -> Scan:
        scans = self._of_stream(stream_id)
        scan = scans.get(offset)
        if scan is None:
            scan = scans[offset] = Scan(position, now_s)
        scan.moved_s = now_s
        return scan

    def _of_stream(self, stream_id: int) -> dict[int, Scan]:
        scans = self._streams.get(stream_id)
        if scans is None:
            scans = self._streams[stream_id] = {}
            if len(self._streams) > _STREAMS_MAX_COUNT:
                _, forgotten = self._streams.popitem(last=False)
                for scan in forgotten.values():
                    _wake(scan)
        self._streams.move_to_end(stream_id)
        return scans


def _wake(scan: Scan) -> None:
    waiting, scan.waiting = scan.waiting, None
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
