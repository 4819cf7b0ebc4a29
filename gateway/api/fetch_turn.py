"""What one Fetch request reads, and which of its answers leave: with a session, without, or as the
first of a session (KIP-227).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.broker.fetch_sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchSessions,
    Part,
    Session,
)
from protocol import ErrorCode
from protocol.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
)


class FetchTurn:
    """One request's. Raises BrokerError when made, if its session is not what it believes."""

    def __init__(self, request: FetchRequest, sessions: FetchSessions, *, by_id: bool) -> None:
        self._request = request
        self._sessions = sessions
        self._by_id = by_id
        self._session: Session | None = None
        self.topics: Sequence[FetchTopic] = request.topics
        if request.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            sessions.close(request.session_id)
            return
        self._session = sessions.go_on(
            request.session_id,
            request.session_epoch,
            list(self._asked()),
            list(self._gone()),
            by_id=by_id,
        )
        if self._session is not None:
            self.topics = self._topics_of(self._session)

    def _key(self, topic: FetchTopic | FetchableTopicResponse | ForgottenTopic) -> str | bytes:
        return topic.topic_id if self._by_id else topic.topic

    def _asked(self) -> Iterator[tuple[Part, FetchPartition]]:
        for topic in self._request.topics:
            key = self._key(topic)
            for asked in topic.partitions:
                yield (key, asked.partition), asked

    def _gone(self) -> Iterator[Part]:
        for topic in self._request.forgotten_topics_data:
            for index in topic.partitions:
                yield self._key(topic), index

    def _topics_of(self, session: Session) -> list[FetchTopic]:
        topics: dict[str | bytes, FetchTopic] = {}
        for (key, _), asked in session.parts():
            topic = topics.get(key)
            if topic is None:
                topic = topics[key] = FetchTopic()
                if isinstance(key, bytes):
                    topic.topic_id = key
                else:
                    topic.topic = key
            topic.partitions.append(asked)
        return list(topics.values())

    def response(self, answers: list[FetchableTopicResponse]) -> FetchResponse:
        """Of a session, what its client does not know yet; else all of it."""
        if self._session is not None:
            news = [topic for topic in answers if self._keep_news(self._session, topic)]
            return FetchResponse(responses=news, session_id=self._session.id)
        session = None
        if self._request.session_epoch == INITIAL_EPOCH:
            session = self._sessions.open(list(self._asked()), by_id=self._by_id)
        if session is None:
            return FetchResponse(responses=answers, session_id=NO_SESSION)
        for topic in answers:
            self._news(session, topic)
        return FetchResponse(responses=answers, session_id=session.id)

    def _keep_news(self, session: Session, topic: FetchableTopicResponse) -> bool:
        topic.partitions = self._news(session, topic)
        return bool(topic.partitions)

    def _news(self, session: Session, topic: FetchableTopicResponse) -> list[PartitionData]:
        """What of a topic its client does not know yet; it does when this has left."""
        key = self._key(topic)
        news = []
        for answer in topic.partitions:
            is_news = session.told(
                (key, answer.partition_index),
                answer.high_watermark,
                answer.log_start_offset,
                has_failed=answer.error_code != ErrorCode.NONE,
            )
            if is_news or answer.records or answer.diverging_epoch is not None:
                news.append(answer)
        return news
