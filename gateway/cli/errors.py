"""What went wrong, in words for the person at the terminal, and what to do about it."""

import click


class ClientError(Exception):
    """A command that cannot go on. `remedy` completes the sentence "try: ..."."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


class KafkaError(ClientError):
    """The broker refused: Kafka's code by name, about what, and the broker's own words."""

    def __init__(
        self, code: int, about: str, message: str | None = None, remedy: str | None = None
    ) -> None:
        self.code = code
        name = error_name(code)
        words = f": {message}" if message else ""
        remedy = remedy or _REMEDIES.get(name, _REMEDY_OTHERWISE)
        super().__init__(f"{about}: {name}{words}", remedy)


def error_name(code: int) -> str:
    """Kafka's name for a code, also for one that is newer than our table."""
    from protocol import ErrorCode  # noqa: PLC0415 - 40 ms that `serve --help` need not pay

    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error code {code}"


def complain(problem: str, remedy: str) -> None:
    """Tell the person at the terminal."""
    click.echo(f"error: {problem}\n   try: {remedy}", err=True)


_REMEDY_OTHERWISE = "the broker's log, it may say more"
_REMEDY_LATER = "again in a moment; the broker is starting, stopping or waiting for its storage"
_REMEDIES = {
    "UNKNOWN_TOPIC_OR_PARTITION": "`woodpecker-gateway topics list` shows what there is, "
    "`topics create NAME` makes a topic",
    "TOPIC_ALREADY_EXISTS": "another name, or `woodpecker-gateway topics describe NAME`",
    "INVALID_TOPIC_EXCEPTION": "a name of up to 249 letters, digits, dots, underscores and dashes",
    "INVALID_PARTITIONS": "--partitions with a number from 1 up to the broker's limit",
    "INVALID_REPLICATION_FACTOR": "no replication factor: the storage keeps the copies",
    "INVALID_CONFIG": "`woodpecker-gateway topics describe NAME --configs` for names and values",
    "POLICY_VIOLATION": "the broker's limits: `woodpecker-gateway serve --help-all`",
    "MESSAGE_TOO_LARGE": "a smaller record, or `serve --message-bytes-max SIZE`",
    "RECORD_LIST_TOO_LARGE": "a smaller record, or `serve --message-bytes-max SIZE`",
    "OFFSET_OUT_OF_RANGE": "--from-beginning, or `topics describe NAME` for the offsets there are",
    "INVALID_GROUP_ID": "a group name that is not empty",
    "UNKNOWN_MEMBER_ID": "another group: this one has members, which commit for themselves",
    "UNSUPPORTED_VERSION": "a matching version of this program and the broker",
    "LEADER_NOT_AVAILABLE": _REMEDY_LATER,
    "NOT_LEADER_OR_FOLLOWER": _REMEDY_LATER,
    "REQUEST_TIMED_OUT": _REMEDY_LATER,
    "KAFKA_STORAGE_ERROR": "again in a moment; if it stays, the broker's log and "
    "`woodpecker-gateway fsck` tell whether stored data are damaged",
    "COORDINATOR_NOT_AVAILABLE": _REMEDY_LATER,
    "COORDINATOR_LOAD_IN_PROGRESS": _REMEDY_LATER,
    "NOT_COORDINATOR": _REMEDY_LATER,
}
