"""The folder of a log: what counts in it, what is left over, and what makes it unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core.errors import Corrupt
from wal_core.format.logstore_records import Final, Promise
from wal_core.logstore.folder import LogFolder
from wal_core.logstore.tests.logstores import FOOTER, LOG, NONCE_A, NONCE_B, block

PROMISE = Promise(LOG, b"birth" * 3 + b".", 1, NONCE_A)


@pytest.fixture
def folder(tmp_path: Path) -> LogFolder:
    folder = LogFolder(tmp_path / str(LOG))
    folder.create()
    folder.write_promise(PROMISE)
    folder.segment(0).write_bytes(block(0) + block(1))
    return folder


def test_a_log_is_known_by_its_promise(tmp_path: Path):
    folder = LogFolder(tmp_path / "3")
    assert folder.load(3) is None
    folder.create()
    (folder.path / ".promise-00000000000000000001").write_bytes(b"half")
    assert folder.load(3) is None
    assert not list(folder.path.iterdir())


def test_the_highest_term_counts_and_the_others_go(folder: LogFolder):
    later = PROMISE._replace(term=12, nonce=NONCE_B)
    left = folder.path / f"promise-{1:020d}"
    content = left.read_bytes()
    folder.write_promise(later)
    assert not left.exists()
    left.write_bytes(content)  # somebody died before removing it
    for term in (1, 2):
        folder.write_final(Final(LOG, 0, term, term, FOOTER))
    log = folder.load(LOG)
    assert log is not None
    assert log.promise == later
    assert log.segments[0].final == Final(LOG, 0, 2, 2, FOOTER)
    assert len(list(folder.path.glob("*.final-*"))) == 1


def test_a_promise_that_was_written_and_not_given_gives_way_to_one_of_its_term(folder: LogFolder):
    folder.write_promise(PROMISE)  # its first reply was lost
    folder.write_promise(PROMISE._replace(nonce=NONCE_B))
    log = folder.load(LOG)
    assert log is not None
    assert log.promise.nonce == NONCE_B


def test_a_torn_tail_is_cut_and_a_note_without_its_segment_goes(folder: LogFolder):
    with folder.segment(0).open("ab") as file:
        file.write(block(3))  # one is missing
    folder.note(1).write_bytes(b"of a segment that is gone")
    log = folder.load(LOG)
    assert log is not None
    assert log.segments[0].stored_count == 2
    assert folder.segment(0).read_bytes() == block(0) + block(1)
    assert not folder.note(1).exists()


def test_what_does_not_fit_together_is_damage(folder: LogFolder):
    with pytest.raises(Corrupt, match="another log's"):
        folder.load(LOG + 1)
    folder.write_final(Final(LOG, 0, 1, 3, FOOTER))
    with pytest.raises(Corrupt, match="ends 3 blocks, 2 are there"):
        folder.load(LOG)
    (written,) = folder.path.glob("*.final-*")
    written.rename(folder.path / f"{1:020d}.final-{1:020d}")
    with pytest.raises(Corrupt, match="another segment's"):
        folder.load(LOG)


def test_older_segments_are_forgotten_whole(folder: LogFolder):
    folder.note(0).write_bytes(b"note")
    folder.write_final(Final(LOG, 0, 1, 2, FOOTER))
    folder.segment(1).write_bytes(block(0, segment=1))
    folder.forget(1)
    kept = {f"promise-{1:020d}", f"{1:020d}.seg"}
    assert {path.name for path in folder.path.iterdir()} == kept
