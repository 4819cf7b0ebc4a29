"""How much there is to check, by kind. 0 means that a history cannot show the anomaly."""

from collections.abc import Callable

from gateway.verify.model import ACKED, FAILED, History, KeyHistory


def _sum(count: Callable[[KeyHistory], int]) -> Callable[[History], int]:
    return lambda history: sum(count(key) for key in history.keys.values())


def _acked(key: KeyHistory) -> int:
    return key.statuses.count(ACKED)


def _polled(key: KeyHistory) -> int:
    return sum(len(reading.offsets) for reading in key.readings)


acked = _sum(_acked)
failed = _sum(lambda key: key.statuses.count(FAILED))
polled = _sum(_polled)
claimed = _sum(lambda key: _acked(key) + _polled(key))
acked_and_final = _sum(lambda key: _acked(key) if key.finals else 0)
polled_and_final = _sum(lambda key: _polled(key) if key.finals else 0)
continuous = _sum(lambda key: sum(len(r.offsets) for r in key.readings if r.continuous))
idempotent = _sum(lambda key: sum(op.how.idempotent for op in key.ops))
batched = _sum(lambda key: sum(op.how.batch for op in key.ops))
acked_or_batched = _sum(
    lambda key: sum(
        status == ACKED or op.how.batch for status, op in zip(key.statuses, key.ops, strict=True)
    )
)
ordered = _sum(lambda key: sum(op.how.ordered or op.how.batch for op in key.ops))
observations = _sum(lambda key: len(key.observations))
fresh_high_watermarks = _sum(
    lambda key: sum(o.op.how.fresh and o.told.high_watermark is not None for o in key.observations)
)


def observed(field: str) -> Callable[[History], int]:
    """Replies that told `field`."""
    return _sum(lambda key: sum(getattr(o.told, field) is not None for o in key.observations))


def polled_without_txns(history: History) -> int:
    """Records read where no control record can lie in between."""
    return 0 if history.txns else polled(history)


def txns(history: History) -> int:
    """Transactions that began."""
    return len(history.txns)


def txns_and_final(history: History) -> int:
    """Transactions, if there was an end to wait for."""
    return len(history.txns) if any(key.finals for key in history.keys.values()) else 0


def txns_read_committed(history: History) -> int:
    """Transactions that read what is committed only."""
    return sum(op.how.read_committed for op, _ in history.txns.values())
