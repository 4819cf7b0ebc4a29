"""Segments begin and end one after the other; dropped streams are not alive."""

from __future__ import annotations

import pytest

from wal_core import CHECKPOINT_STREAM_ID
from wal_core.format.chain import Chain, Completed
from wal_core.state.contents import Contents
from wal_core.state.streams import Stream


def test_a_segment_follows_the_last_one_of_the_chain():
    chain = Chain()
    chain.append(Completed(4))
    contents = Contents({}, chain)
    assert contents.active is None
    assert contents.begin_segment().segment == 5
    with pytest.raises(AssertionError):
        contents.begin_segment()
    assert contents.end_segment() == Completed(5) == chain.links[-1]
    assert contents.active is None
    with pytest.raises(AssertionError):
        contents.end_segment()


def test_dropped_streams_are_not_alive():
    contents = Contents({1: Stream(), 2: Stream(), CHECKPOINT_STREAM_ID: Stream()}, Chain())
    contents.streams[1].drop()
    assert contents.live_ids() == [2]
    assert contents.live(1) is None
    assert contents.live(2) is contents.streams[2]
    assert contents.live(3) is None
