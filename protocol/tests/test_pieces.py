"""Record data that is elsewhere is a piece like any other, and only read by who wants its bytes."""

from protocol.framing import decode_response, encode_response
from protocol.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from protocol.pieces import in_memory
from protocol.primitives import SPLICE_BYTES_MIN, Writer

FETCH = 1


class Elsewhere:
    """A few bytes of a file, say."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads_count = 0

    def __len__(self) -> int:
        return len(self.content)

    def read(self) -> bytes:
        self.reads_count += 1
        return self.content


def test_what_is_elsewhere_stays_there_whatever_its_size() -> None:
    small, large = Elsewhere(b"s"), Elsewhere(b"l" * 2 * SPLICE_BYTES_MIN)
    for version in (4, 11, 12, 17):
        partition = PartitionData(0, 0, 9, records=[b"before", small, b"between", large, b"behind"])
        topic = FetchableTopicResponse(topic="t", partitions=[partition])
        pieces = encode_response(FETCH, version, 7, FetchResponse(responses=[topic]))
        assert [piece for piece in pieces if isinstance(piece, Elsewhere)] == [small, large]
        assert small.reads_count == large.reads_count == 0
        whole = b"".join(map(in_memory, pieces))
        assert int.from_bytes(whole[:4]) == len(whole) - 4 == sum(map(len, pieces)) - 4
        assert small.reads_count == large.reads_count == 1
        _, found = decode_response(FETCH, version, memoryview(whole)[4:])
        records = found.responses[0].partitions[0].records
        assert bytes(records) == b"before" + b"s" + b"between" + large.content + b"behind"
        small.reads_count = large.reads_count = 0


def test_the_bytes_of_a_message_are_those_of_its_pieces() -> None:
    out = Writer()
    out.buf += b"a"
    out.splice(Elsewhere(b"bc"))
    out.buf += b"d"
    assert out.total_bytes == 4
    assert out.to_bytes() == b"abcd"


def test_buffers_are_in_memory_as_they_are() -> None:
    for piece in (b"a", bytearray(b"b"), memoryview(b"c")):
        assert in_memory(piece) is piece
