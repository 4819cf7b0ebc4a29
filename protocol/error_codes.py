"""Kafka's error codes: number, name, whether a client retries by itself, and one line.

The numbers are Kafka's and never change. `retriable` follows Kafka's exception classes: a client
hides such a code from its user as long as its own deadline allows. The lines are ours.
"""

from enum import IntEnum


class ErrorCode(IntEnum):
    """The int16 in responses."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    INVALID_FETCH_SIZE = 4
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    STALE_CONTROLLER_EPOCH = 11
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    INVALID_COMMIT_OFFSET_SIZE = 28
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    REASSIGNMENT_IN_PROGRESS = 60
    DELEGATION_TOKEN_AUTH_DISABLED = 61
    DELEGATION_TOKEN_NOT_FOUND = 62
    DELEGATION_TOKEN_OWNER_MISMATCH = 63
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
    DELEGATION_TOKEN_EXPIRED = 66
    INVALID_PRINCIPAL_TYPE = 67
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    LISTENER_NOT_FOUND = 72
    TOPIC_DELETION_DISABLED = 73
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    THROTTLING_QUOTA_EXCEEDED = 89
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INCONSISTENT_VOTER_SET = 94
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    PRINCIPAL_DESERIALIZATION_FAILURE = 97
    SNAPSHOT_NOT_FOUND = 98
    POSITION_OUT_OF_RANGE = 99
    UNKNOWN_TOPIC_ID = 100
    DUPLICATE_BROKER_REGISTRATION = 101
    BROKER_ID_NOT_REGISTERED = 102
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    FETCH_SESSION_TOPIC_ID_ERROR = 106
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    OFFSET_MOVED_TO_TIERED_STORAGE = 109
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    UNKNOWN_CONTROLLER_ID = 116
    UNKNOWN_SUBSCRIPTION_ID = 117
    TELEMETRY_TOO_LARGE = 118
    INVALID_REGISTRATION = 119
    TRANSACTION_ABORTABLE = 120
    INVALID_RECORD_STATE = 121
    SHARE_SESSION_NOT_FOUND = 122
    INVALID_SHARE_SESSION_EPOCH = 123
    FENCED_STATE_EPOCH = 124
    INVALID_VOTER_KEY = 125
    DUPLICATE_VOTER = 126
    VOTER_NOT_FOUND = 127
    INVALID_REGULAR_EXPRESSION = 128
    REBOOTSTRAP_REQUIRED = 129
    STREAMS_INVALID_TOPOLOGY = 130
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131
    STREAMS_TOPOLOGY_FENCED = 132
    SHARE_SESSION_LIMIT_REACHED = 133

    @property
    def retriable(self) -> bool:
        """Whether clients retry this code by themselves."""
        return self in _RETRIABLE

    @property
    def message(self) -> str:
        """One line for an error_message field or a log."""
        return _MESSAGES[self]


_RETRIABLE = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.REPLICA_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.NOT_CONTROLLER,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.LISTENER_NOT_FOUND,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.OFFSET_NOT_AVAILABLE,
        ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
        ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        ErrorCode.ELECTION_NOT_NEEDED,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
        ErrorCode.THROTTLING_QUOTA_EXCEEDED,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INCONSISTENT_TOPIC_ID,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode.SHARE_SESSION_NOT_FOUND,
        ErrorCode.INVALID_SHARE_SESSION_EPOCH,
        ErrorCode.SHARE_SESSION_LIMIT_REACHED,
    }
)

_MESSAGES = {
    ErrorCode.UNKNOWN_SERVER_ERROR: "Something failed on the server that it did not expect.",
    ErrorCode.NONE: "No error.",
    ErrorCode.OFFSET_OUT_OF_RANGE: "The partition holds no such offset.",
    ErrorCode.CORRUPT_MESSAGE: "The batch is damaged: its checksum or its size is wrong.",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "There is no such topic or partition here.",
    ErrorCode.INVALID_FETCH_SIZE: "The number of bytes to fetch is not valid.",
    ErrorCode.LEADER_NOT_AVAILABLE: "The partition has no leader at the moment.",
    ErrorCode.NOT_LEADER_OR_FOLLOWER: "This broker does not lead the partition.",
    ErrorCode.REQUEST_TIMED_OUT: "The request was not done in the time it allowed.",
    ErrorCode.BROKER_NOT_AVAILABLE: "The broker is not available.",
    ErrorCode.REPLICA_NOT_AVAILABLE: "The replica is not available.",
    ErrorCode.MESSAGE_TOO_LARGE: "The batch is larger than the topic allows.",
    ErrorCode.STALE_CONTROLLER_EPOCH: "The controller has moved on to a newer epoch.",
    ErrorCode.OFFSET_METADATA_TOO_LARGE: "The metadata string of an offset commit is too long.",
    ErrorCode.NETWORK_EXCEPTION: "The connection broke before an answer came.",
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: "The coordinator is still loading its state.",
    ErrorCode.COORDINATOR_NOT_AVAILABLE: "There is no coordinator at the moment.",
    ErrorCode.NOT_COORDINATOR: "This broker is not the coordinator asked for.",
    ErrorCode.INVALID_TOPIC_EXCEPTION: (
        "The topic name is not valid, or the topic may not be used like this."
    ),
    ErrorCode.RECORD_LIST_TOO_LARGE: "The batch is larger than a segment may be.",
    ErrorCode.NOT_ENOUGH_REPLICAS: "Too few replicas are in sync to take the write.",
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: (
        "The write was taken by fewer replicas than required."
    ),
    ErrorCode.INVALID_REQUIRED_ACKS: "acks is none of -1, 0 and 1.",
    ErrorCode.ILLEGAL_GENERATION: "The generation is not the group's current one.",
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: (
        "The member shares no protocol with the rest of the group."
    ),
    ErrorCode.INVALID_GROUP_ID: "The group id is not valid.",
    ErrorCode.UNKNOWN_MEMBER_ID: "The group has no such member.",
    ErrorCode.INVALID_SESSION_TIMEOUT: (
        "The session timeout lies outside the range the broker allows."
    ),
    ErrorCode.REBALANCE_IN_PROGRESS: "The group is rebalancing: join again.",
    ErrorCode.INVALID_COMMIT_OFFSET_SIZE: "The committed offset takes too many bytes.",
    ErrorCode.TOPIC_AUTHORIZATION_FAILED: "The principal may not do this with the topic.",
    ErrorCode.GROUP_AUTHORIZATION_FAILED: "The principal may not do this with the group.",
    ErrorCode.CLUSTER_AUTHORIZATION_FAILED: "The principal may not do this with the cluster.",
    ErrorCode.INVALID_TIMESTAMP: "A record's timestamp lies outside the allowed range.",
    ErrorCode.UNSUPPORTED_SASL_MECHANISM: "The broker does not offer this SASL mechanism.",
    ErrorCode.ILLEGAL_SASL_STATE: "The request does not fit the state of the SASL exchange.",
    ErrorCode.UNSUPPORTED_VERSION: "The broker does not speak this version of the API.",
    ErrorCode.TOPIC_ALREADY_EXISTS: "A topic of this name exists already.",
    ErrorCode.INVALID_PARTITIONS: "The number of partitions is not valid.",
    ErrorCode.INVALID_REPLICATION_FACTOR: "The replication factor is not valid here.",
    ErrorCode.INVALID_REPLICA_ASSIGNMENT: "The replica assignment is not valid.",
    ErrorCode.INVALID_CONFIG: "A configuration value is not valid.",
    ErrorCode.NOT_CONTROLLER: "This broker is not the controller.",
    ErrorCode.INVALID_REQUEST: "The request contradicts itself or the protocol.",
    ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT: "The stored message format cannot do this.",
    ErrorCode.POLICY_VIOLATION: "A policy of the broker forbids the request.",
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER: (
        "The producer's sequence number does not follow its last one."
    ),
    ErrorCode.DUPLICATE_SEQUENCE_NUMBER: "The producer's sequence number was seen before.",
    ErrorCode.INVALID_PRODUCER_EPOCH: "The producer's epoch is older than the current one.",
    ErrorCode.INVALID_TXN_STATE: "The transaction's state does not allow this.",
    ErrorCode.INVALID_PRODUCER_ID_MAPPING: (
        "The producer id does not belong to this transactional id."
    ),
    ErrorCode.INVALID_TRANSACTION_TIMEOUT: (
        "The transaction timeout is longer than the broker allows."
    ),
    ErrorCode.CONCURRENT_TRANSACTIONS: (
        "An earlier operation of the transaction is still under way."
    ),
    ErrorCode.TRANSACTION_COORDINATOR_FENCED: (
        "The transaction coordinator was replaced by a newer one."
    ),
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "The principal may not use the transactional id."
    ),
    ErrorCode.SECURITY_DISABLED: "Security features are turned off.",
    ErrorCode.OPERATION_NOT_ATTEMPTED: (
        "Not tried, because another operation of the same request failed."
    ),
    ErrorCode.KAFKA_STORAGE_ERROR: "The storage behind the partition failed.",
    ErrorCode.LOG_DIR_NOT_FOUND: "There is no such log directory.",
    ErrorCode.SASL_AUTHENTICATION_FAILED: "The credentials were not accepted.",
    ErrorCode.UNKNOWN_PRODUCER_ID: "Nothing is known of the producer any more.",
    ErrorCode.REASSIGNMENT_IN_PROGRESS: "The partition is being reassigned.",
    ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED: "Delegation tokens are turned off.",
    ErrorCode.DELEGATION_TOKEN_NOT_FOUND: "There is no such delegation token.",
    ErrorCode.DELEGATION_TOKEN_OWNER_MISMATCH: "The delegation token belongs to somebody else.",
    ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: (
        "Delegation tokens may not be asked for on this channel."
    ),
    ErrorCode.DELEGATION_TOKEN_AUTHORIZATION_FAILED: (
        "The principal may not do this with the delegation token."
    ),
    ErrorCode.DELEGATION_TOKEN_EXPIRED: "The delegation token has expired.",
    ErrorCode.INVALID_PRINCIPAL_TYPE: "The broker does not know this type of principal.",
    ErrorCode.NON_EMPTY_GROUP: "The group still has members.",
    ErrorCode.GROUP_ID_NOT_FOUND: "There is no such group.",
    ErrorCode.FETCH_SESSION_ID_NOT_FOUND: "There is no such fetch session.",
    ErrorCode.INVALID_FETCH_SESSION_EPOCH: "The fetch session has another epoch.",
    ErrorCode.LISTENER_NOT_FOUND: "The leader has no listener of the name this request came in by.",
    ErrorCode.TOPIC_DELETION_DISABLED: "Topics may not be deleted here.",
    ErrorCode.FENCED_LEADER_EPOCH: "The leader epoch in the request is older than the broker's.",
    ErrorCode.UNKNOWN_LEADER_EPOCH: "The leader epoch in the request is newer than the broker's.",
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE: (
        "The broker or the version does not know this compression."
    ),
    ErrorCode.STALE_BROKER_EPOCH: "The broker's epoch is out of date.",
    ErrorCode.OFFSET_NOT_AVAILABLE: "The new leader does not know the offset yet.",
    ErrorCode.MEMBER_ID_REQUIRED: "Join again with the member id in this answer.",
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: "The preferred leader is not available.",
    ErrorCode.GROUP_MAX_SIZE_REACHED: "The group has as many members as it may have.",
    ErrorCode.FENCED_INSTANCE_ID: "Another member took over this group instance id.",
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: "No replica is fit to lead.",
    ErrorCode.ELECTION_NOT_NEEDED: "The partition needs no new leader.",
    ErrorCode.NO_REASSIGNMENT_IN_PROGRESS: "No reassignment is under way.",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "The group is subscribed to the topic.",
    ErrorCode.INVALID_RECORD: "The broker's checks refused a record of the batch.",
    ErrorCode.UNSTABLE_OFFSET_COMMIT: "An offset of an open transaction is not settled yet.",
    ErrorCode.THROTTLING_QUOTA_EXCEEDED: "The client is over its quota.",
    ErrorCode.PRODUCER_FENCED: "A newer producer took over the transactional id.",
    ErrorCode.RESOURCE_NOT_FOUND: "There is no such resource.",
    ErrorCode.DUPLICATE_RESOURCE: "The request names a resource twice.",
    ErrorCode.UNACCEPTABLE_CREDENTIAL: "The credential does not meet the rules.",
    ErrorCode.INCONSISTENT_VOTER_SET: "The voter sets of two nodes differ.",
    ErrorCode.INVALID_UPDATE_VERSION: "The version to update to is not valid.",
    ErrorCode.FEATURE_UPDATE_FAILED: "The features could not be updated.",
    ErrorCode.PRINCIPAL_DESERIALIZATION_FAILURE: "The forwarded principal could not be read.",
    ErrorCode.SNAPSHOT_NOT_FOUND: "There is no such snapshot.",
    ErrorCode.POSITION_OUT_OF_RANGE: "The position lies outside the snapshot.",
    ErrorCode.UNKNOWN_TOPIC_ID: "There is no topic of this id here.",
    ErrorCode.DUPLICATE_BROKER_REGISTRATION: "A broker of this id is registered already.",
    ErrorCode.BROKER_ID_NOT_REGISTERED: "No broker of this id is registered.",
    ErrorCode.INCONSISTENT_TOPIC_ID: "The topic has another id than the request says.",
    ErrorCode.INCONSISTENT_CLUSTER_ID: "The cluster has another id than the request says.",
    ErrorCode.TRANSACTIONAL_ID_NOT_FOUND: "There is no such transactional id.",
    ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR: "Topic ids and names are mixed in one fetch session.",
    ErrorCode.INELIGIBLE_REPLICA: "The replica may not join the in-sync set.",
    ErrorCode.NEW_LEADER_ELECTED: "A new leader was elected while the partition was altered.",
    ErrorCode.OFFSET_MOVED_TO_TIERED_STORAGE: "The offset is held by remote storage only.",
    ErrorCode.FENCED_MEMBER_EPOCH: "The member's epoch is not the current one: join again.",
    ErrorCode.UNRELEASED_INSTANCE_ID: "The group instance id is still in use.",
    ErrorCode.UNSUPPORTED_ASSIGNOR: "The group does not support this assignor.",
    ErrorCode.STALE_MEMBER_EPOCH: (
        "The member's epoch is out of date: retry after the next heartbeat."
    ),
    ErrorCode.MISMATCHED_ENDPOINT_TYPE: "The request went to a node of the wrong kind.",
    ErrorCode.UNSUPPORTED_ENDPOINT_TYPE: "The broker does not know this kind of endpoint.",
    ErrorCode.UNKNOWN_CONTROLLER_ID: "There is no controller of this id.",
    ErrorCode.UNKNOWN_SUBSCRIPTION_ID: "The telemetry subscription is not the current one.",
    ErrorCode.TELEMETRY_TOO_LARGE: "The telemetry is larger than allowed.",
    ErrorCode.INVALID_REGISTRATION: "The registration is not valid.",
    ErrorCode.TRANSACTION_ABORTABLE: "The transaction failed and can be aborted.",
    ErrorCode.INVALID_RECORD_STATE: "The shared record is not in a state that allows this.",
    ErrorCode.SHARE_SESSION_NOT_FOUND: "There is no such share session.",
    ErrorCode.INVALID_SHARE_SESSION_EPOCH: "The share session has another epoch.",
    ErrorCode.FENCED_STATE_EPOCH: (
        "The state epoch of the share group is older than the stored one."
    ),
    ErrorCode.INVALID_VOTER_KEY: "The voter key does not fit the receiving node.",
    ErrorCode.DUPLICATE_VOTER: "The voter is in the set already.",
    ErrorCode.VOTER_NOT_FOUND: "The voter is not in the set.",
    ErrorCode.INVALID_REGULAR_EXPRESSION: "The regular expression is not valid.",
    ErrorCode.REBOOTSTRAP_REQUIRED: "The client should start again from its bootstrap servers.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY: "The streams topology is not valid.",
    ErrorCode.STREAMS_INVALID_TOPOLOGY_EPOCH: "The epoch of the streams topology is not valid.",
    ErrorCode.STREAMS_TOPOLOGY_FENCED: "The streams topology is older than the group's.",
    ErrorCode.SHARE_SESSION_LIMIT_REACHED: "There are as many share sessions as allowed.",
}
