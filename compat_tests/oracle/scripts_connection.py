"""Frames as such: versions nobody serves, bodies that end early or late, tags nobody knows; and for
whom they are."""

from __future__ import annotations

import struct

from compat_tests.oracle.messages import build, kinds
from compat_tests.oracle.requests import REQUESTS, SOFTWARE, Target
from compat_tests.oracle.script import each
from compat_tests.oracle.side import Side

TARGET = Target("no-such-topic", group="no-such-group")
ABOVE_ALL = 90


def header(key: int, version: int) -> bytes:
    """Not flexible: what a broker looks at before it knows whether it is."""
    return struct.pack(">hhih", key, version, 7, -1)


@each("frame: version {} of every API", [-1, ABOVE_ALL])
def versions(side: Side, version: int) -> None:
    for api in REQUESTS:
        if api != "ApiVersions" and side.served(api):
            reply = side.send_raw(header(kinds()[api].API_KEY, version) + bytes(8))
            side.note(api, "closed" if reply is None else "answered")


@each("frame: API {} that nobody knows", [-1, 999, 32767])
def apis(side: Side, key: int) -> None:
    side.note("reply", side.send_raw(header(key, 0) + bytes(8)) is None)


@each("frame: {} of every API", ["half", "nothing", "surplus"])
def bodies(side: Side, what: str) -> None:
    """In the newest version that both serve."""
    for api, fields in REQUESTS.items():
        served = side.served(api)
        if not served or api in ("ApiVersions", "JoinGroup", "CreateTopics", "InitProducerId"):
            continue
        request = build(api, fields(served[-1], TARGET))
        request.API_VERSION = served[-1]
        request.with_header(7, "oracle")
        whole = bytes(request.encode(version=served[-1], header=True))
        frame = {"half": whole[: len(whole) - 3], "nothing": whole[:4], "surplus": whole + b"xyz"}
        reply = side.send_raw(frame[what])
        side.note(api, "closed" if reply is None else "answered")


@each("frame: a length of {}", [-1, 0, 3, 2**31 - 1])
def lengths(side: Side, length: int) -> None:
    side.note("reply", side.send_bytes(struct.pack(">i", length) + bytes(12)) is None)


@each(
    "ApiVersions: meant for {} (newest)",
    ["us", "no node", "no cluster", "another node", "another cluster", "nobody"],
    newest=True,
)
def destination(side: Side, who: str) -> None:
    """KIP-1242: who has reached somebody else starts again from its bootstrap servers."""
    here = side.quietly("DescribeCluster", 1)
    cluster, node = {
        "us": (here.cluster_id, here.controller_id),
        "no node": (here.cluster_id, -1),
        "no cluster": (None, here.controller_id),
        "another node": (here.cluster_id, here.controller_id + 1),
        "another cluster": ("b3RoZXJvdGhlcm90aGVybw", here.controller_id),
        "nobody": ("", -2),
    }[who]
    side.ask("ApiVersions", 5, **SOFTWARE, cluster_id=cluster, node_id=node)
