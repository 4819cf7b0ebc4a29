"""A process of Milvus: ticks to all channels, inserts beside them, a reader for each.

A program of its own, for librdkafka 1.9 and the newest; Python 3.7 and newer. Reads one JSON object
of arguments (`Load`), prints `{"event": "loaded"}` once every reader reads, runs for so many
seconds or until a line comes in, and prints what it saw (`Load.seen`).
"""

import json
import os
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition, libversion

TICK_BYTES = 60
SEND_LIMIT_S = 60.0


def now_s():
    return time.perf_counter()


def share_of(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Load:
    """One producer for ticks, one for each writer, one consumer for each reader."""

    def __init__(
        self, bootstrap, topics, producer, consumer, tick_ms, writers_count, insert_bytes, readers
    ):
        """`topics`: a tick goes to each. The first `writers_count` get inserts of `insert_bytes`
        too. `readers`: consumers of each of those topics; every other topic has one."""
        self.bootstrap = bootstrap
        self.topics = topics
        self.settings = producer
        self.reading = consumer
        self.tick_s = tick_ms / 1000
        self.writers_count = writers_count
        self.insert_bytes = insert_bytes
        self.readers_count = readers
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.reads_end = threading.Event()
        self.errors = []
        self.acked = {topic: {} for topic in topics}  # offset -> the tag in front of the value
        self.read = []  # a (topic, {offset: tag}) of each reader
        self.rounds_ms = []
        self.delays_ms = []
        self.gaps_ms = []
        self.inserted_bytes = 0

    def note(self, error):
        """What librdkafka says of connections that it opens again by itself is not an error."""
        if error.name() not in ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"):
            self.errors.append(f"{error.name()}: {error.str()}")

    def producer(self):
        basics = {"bootstrap.servers": self.bootstrap, "error_cb": self.note}
        return Producer(dict(basics, **self.settings))

    def send_all(self, producer, records):
        """Returns when every record is acknowledged; a tag is unique."""

        def delivered(tag):
            def note(error, message):
                with self.lock:
                    if error is not None:
                        self.errors.append(f"{error.name()}: {error.str()}")
                    elif message.offset() in self.acked[message.topic()]:
                        self.errors.append("two records were acknowledged at one offset")
                    else:
                        self.acked[message.topic()][message.offset()] = tag

            return note

        for topic, tag, value in records:
            while True:
                try:
                    producer.produce(topic, value, partition=0, on_delivery=delivered(tag))
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(SEND_LIMIT_S):
            self.errors.append(f"a record was not acknowledged within {SEND_LIMIT_S:g} s")
            self.stopped.set()

    def tick(self):
        """A round of one small record to every topic; all are acknowledged before the next."""
        producer = self.producer()
        number = 0
        while not self.stopped.is_set():
            begun_s = now_s()
            tag = f"tick {number} {begun_s:.6f}"
            value = tag.encode().ljust(TICK_BYTES)
            self.send_all(producer, [(topic, tag, value) for topic in self.topics])
            self.rounds_ms.append((now_s() - begun_s) * 1000)
            number += 1
            self.stopped.wait(max(0.0, begun_s + self.tick_s - now_s()))

    def insert(self, topic):
        """Large records that nothing compresses, one after the other."""
        producer = self.producer()
        rest = os.urandom(self.insert_bytes)
        number = 0
        while not self.stopped.is_set():
            tag = f"insert {number}"
            self.send_all(producer, [(topic, tag, tag.encode().ljust(TICK_BYTES) + rest)])
            self.inserted_bytes += len(rest)
            number += 1

    def follow(self, topic, number, loaded):
        """Reads until all that was acknowledged has come, each offset once and in order."""
        basics = {"bootstrap.servers": self.bootstrap, "error_cb": self.note}
        name = {"group.id": f"{topic}/{number}"}
        consumer = Consumer(dict(basics, **dict(name, **self.reading)))
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found, last_s, expected = {}, 0.0, 0
        self.read.append((topic, found))
        while not self.reads_end.is_set():
            for message in consumer.consume(100, 0.1):
                if message.error():
                    self.errors.append(str(message.error()))
                    continue
                if message.offset() != expected:
                    self.errors.append(f"{topic}: offset {message.offset()} behind {expected - 1}")
                expected = message.offset() + 1
                arrived_s = now_s()
                tag = message.value()[:TICK_BYTES].decode().strip()
                found[message.offset()] = tag
                if not tag.startswith("tick") or self.stopped.is_set():
                    continue
                if last_s:
                    self.gaps_ms.append((arrived_s - last_s) * 1000)
                    self.delays_ms.append((arrived_s - float(tag.split()[2])) * 1000)
                last_s = arrived_s
            if found:
                loaded.release()
        consumer.close()

    def run(self, seconds):
        """For so long, or until a line comes in; then until the readers have read it all."""
        loaded = threading.Semaphore(0)
        first = self.producer()
        self.send_all(first, [(topic, "first", b"first") for topic in self.topics])
        readers = []
        for index, topic in enumerate(self.topics):
            for number in range(self.readers_count if index < self.writers_count else 1):
                readers.append(threading.Thread(target=self.follow, args=(topic, number, loaded)))
        writers = [threading.Thread(target=self.tick)]
        for topic in self.topics[: self.writers_count]:
            writers.append(threading.Thread(target=self.insert, args=(topic,)))
        for thread in readers:
            thread.start()
        for _ in readers:
            loaded.acquire()
        say({"event": "loaded", "library": libversion()[0]})
        begun_s = now_s()
        for thread in writers:
            thread.start()
        asked = threading.Thread(target=self.wait_for_a_line, daemon=True)
        asked.start()
        self.stopped.wait(seconds)
        took_s = now_s() - begun_s
        self.stopped.set()
        for thread in writers:
            thread.join()
        give_up_s = now_s() + SEND_LIMIT_S
        while now_s() < give_up_s and not self.all_read():
            time.sleep(0.05)
        self.reads_end.set()
        for thread in readers:
            thread.join()
        return self.seen(took_s)

    def wait_for_a_line(self):
        if sys.stdin.readline():
            self.stopped.set()

    def all_read(self):
        return all(len(found) > max(self.acked[topic]) for topic, found in self.read)

    def seen(self, took_s):
        """Figures of time for people; what is wrong for tests, as sentences."""
        for topic, found in self.read:
            for offset, tag in self.acked[topic].items():
                if found.get(offset) != tag:
                    self.errors.append(
                        f"{topic}: {tag!r} was acknowledged at {offset}, "
                        f"where {found.get(offset)!r} is read"
                    )
        rounds, delays, gaps = map(sorted, (self.rounds_ms, self.delays_ms, self.gaps_ms))
        return {
            "event": "done",
            "errors": self.errors[:20],
            "rounds_count": len(rounds),
            "round_p50_ms": share_of(rounds, 0.5),
            "round_p99_ms": share_of(rounds, 0.99),
            "delay_p99_ms": share_of(delays, 0.99),
            "gap_max_ms": share_of(gaps, 1.0),
            "inserts_mb_per_s": self.inserted_bytes / 1e6 / took_s,
            "acked_count": sum(map(len, self.acked.values())),
            "read_count": sum(len(found) for _, found in self.read),
        }


def say(what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    duration_s = arguments.pop("seconds")
    say(Load(**arguments).run(duration_s))
