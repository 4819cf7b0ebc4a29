"""Kafka Streams: words are counted over its own end, with its state gone, and over the broker's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compat_tests.java.running import Running
from compat_tests.support.client import NEWEST_JAVA, WORKERS, Client, Library
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.support.javac import program

STREAMS = NEWEST_JAVA.replace("clients", "streams")
LINES = [b"the quick brown fox", b"the lazy dog", b"the fox and the dog"]
COUNTS = {"the": 4, "quick": 1, "brown": 1, "fox": 2, "lazy": 1, "dog": 2, "and": 1}
LOGGER = "org.slf4j:slf4j-simple:1.7.36"


def counts_of(client: Client, topic: str) -> dict[str, int]:
    """The last count of each word."""
    with client.consumer() as consumer:
        consumer.assign((topic, 0, "beginning"))
        _, end = consumer.watermarks(topic)
        records = consumer.take(end)
    return {
        (record.key or b"").decode(): int.from_bytes(record.value or b"", "big")
        for record in records
    }


def times(count: int) -> dict[str, int]:
    return {word: count * number for word, number in COUNTS.items()}


@pytest.mark.timeout(240)
def test_words_are_counted(
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[[Library, Gateway], Client],
    tmp_path: Path,
) -> None:
    """At least once; what is committed before an end is counted once."""
    gateway = own_gateway("file")
    client = launch(need("java-4.4"), gateway)
    for topic in ("lines", "counts"):
        client.create_topic(topic)
    command = program(WORKERS / "java_streams", "WordCount", STREAMS, LOGGER)
    command += [gateway.bootstrap, "word-count", "lines", "counts"]

    def counted(turns: int) -> None:
        with client.producer() as producer:
            producer.send("lines", LINES)
        wait_until(
            lambda: counts_of(client, "counts") == times(turns),
            timeout_s=60,
            what=f"the words of {turns} turns",
        )
        with client.consumer(group="word-count") as consumer:
            wait_until(
                lambda: consumer.committed(("lines", 0)) == [turns * len(LINES)],
                what="what was counted to be committed",
            )

    with Running([*command, str(tmp_path / "one")]) as counter:
        counter.wait_line("RUNNING")
        counted(1)
        internal = {topic for topic in client.topics() if topic.startswith("word-count-")}
        assert internal == {"word-count-counts-changelog", "word-count-counts-repartition"}
        settings = client.call("topic_configs", topic="word-count-counts-changelog")
        assert settings["cleanup.policy"] == "compact"
        with client.consumer() as consumer:  # what it has read from there it deletes
            wait_until(
                lambda: len(set(consumer.watermarks("word-count-counts-repartition"))) == 1,
                what="the repartition topic to be emptied",
            )
        counter.kill()
    with Running([*command, str(tmp_path / "another")]) as counter:  # its state comes from the log
        counter.wait_line("RUNNING", timeout_s=90)
        counted(2)
        gateway.restart(graceful=False)
        counted(3)
        counter.finish()
