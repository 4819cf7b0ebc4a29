"""After all the writing and deleting: exactly the objects that manifests and footers name."""

from collections.abc import Callable
from functools import cache

import pytest

from compat_tests.stored.bucket import Bucket
from compat_tests.stored.layout import Layout, layout_of
from compat_tests.stored.soak import Soak
from compat_tests.stored.test_fsck import SMALL_SEGMENTS, fsck
from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import S3Server

FLAGS = (
    *SMALL_SEGMENTS,
    # A producer asks for every topic it knows, also for those that are deleted.
    "--no-auto-create",
    *("--retention-check-interval-ms", "200ms"),
    *("--dead-check-ms", "300ms"),
    *("--garbage-grace-ms", "2s"),
    *("--fence-grace-ms", "4s"),
)
SETTLING_S = 25.0
"""Of `--minutes`, left for what comes after the load."""
LOAD_S_MIN = 20.0
GRACE_TIMEOUT_S = 90.0


@pytest.mark.soak
@pytest.mark.timeout(0)  # everything inside has a deadline
def test_soak(s3_server: S3Server, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed")
    load_s = max(LOAD_S_MIN, request.config.getoption("--minutes") * 60 - SETTLING_S)
    environ = s3_server.environ()
    with (
        Bucket(s3_server, "compat", f"soak-{seed}") as bucket,
        Gateway(bucket.location, mode="s3", options=FLAGS, environ=environ) as gateway,
    ):
        soak = Soak(gateway, seed)
        soak.run(load_s)
        begun_s = now_s()
        most_count = len(bucket.sizes())
        get = cache(bucket.get)  # objects never change
        wait_until(
            lambda: settled(bucket, get), timeout_s=GRACE_TIMEOUT_S, what="an end of garbage"
        )
        settled_s = now_s() - begun_s
        read_count = soak.check_records()
        assert gateway.stop() == 0
        assert gateway.tracebacks_count == 0, "\n".join(gateway.log)
        layout = check_exact(bucket)
        code, report = fsck(bucket.location, **environ)
        assert (code, report["findings"]) == (0, [])
        sizes = bucket.sizes()
        assert report["objects"] == len(sizes) - 1
        assert report["garbage"]["objects"] == len(layout.garbage)
        gateway.start()
        soak.check_records()
    done = ", ".join(f"{count} {what}" for what, count in soak.done.items())
    print(
        f"seed {seed}, {load_s:.0f} s of load: {done}, {soak.acked_bytes / 1e6:.0f} MB acked; "
        f"manifest {layout.manifest['number']}, {max(layout.completed) + 1} segments; at the end "
        f"{most_count} objects, {settled_s:.1f} s later {len(sizes)} "
        f"({sum(sizes.values()) / 1e6:.1f} MB), all named: {layout.sealed_count} sealed segments, "
        f"{len(layout.completed)} completed; {read_count} records left, all read"
    )


def settled(bucket: Bucket, get: Callable[[str], bytes]) -> bool:
    """Nothing waits for its deletion, and nothing is there that is not named."""
    sizes = bucket.sizes()
    try:
        layout = layout_of(sizes, get)
    except (AssertionError, KeyError, ValueError):
        return False  # it changed between the listing and the reading
    return not layout.manifest["garbage"] and set(sizes) == set(layout.named)


def check_exact(bucket: Bucket) -> Layout:
    """To the object, and to the byte where a table says how many."""
    sizes = bucket.sizes()
    layout = layout_of(sizes, bucket.get)
    assert set(layout.named) - set(sizes) == set(), "named, and not there"
    assert set(sizes) - set(layout.named) - layout.garbage == set(), "there, and not named"
    told = {key: size for key, size in layout.named.items() if size is not None}
    assert {key: sizes[key] for key in told} == told
    return layout
