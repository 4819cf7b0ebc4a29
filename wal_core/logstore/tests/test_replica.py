"""What is asked of a logstore: the one that is here answers by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core.errors import Fenced
from wal_core.logstore.replica import Asker, Promised, Replica, Unknown
from wal_core.logstore.tests.logstores import LOG, logstore


async def test_a_logstore_is_a_replica_by_itself(tmp_path: Path):
    store: Replica = logstore(tmp_path)
    with pytest.raises(Unknown):
        await store.look(Asker(LOG, b"", 0, b""))


def test_a_refusal_says_whose_promise_and_what_never_comes_is_not_tried_again():
    refusal = Promised("no", log_id=LOG, term=7)
    assert isinstance(refusal, Fenced)
    assert refusal.term == 7
    assert not Unknown("no").retriable
