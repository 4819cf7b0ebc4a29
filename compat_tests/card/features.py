"""What the report card says that a client can do: features, and the tests that each stands for."""

FEATURES = {
    "produce and consume": (
        "test_records_come_back_as_they_were_sent",
        "test_partitions_keep_their_own_offsets",
        "test_client_stamps_records_by_default",
    ),
    "every codec it has": (
        "test_records_come_back_as_they_were_sent",
        "test_stored_batches_carry_the_codec_of_the_producer",
        "test_every_client_reads_it",
    ),
    "records up to 9.5 MB": ("test_every_size_up_to_the_limit", "test_an_11_mb_record_is_refused"),
    "acks 0, 1, all": ("test_every_level_of_acknowledgement",),
    "seek, offsets by time": ("test_assign_and_seek", "test_offsets_for_times"),
    "idempotent producer": (
        "test_idempotent_producer",
        "test_sequences_count_per_partition",
        "test_two_producers_do_not_disturb_each_other",
    ),
    "group: commit and resume": (
        "test_consume_commit_resume",
        "test_default_consumer_commits_by_itself",
        "test_a_simple_consumer_commits_without_membership",
    ),
    "group: members come, go, die": ("test_join_and_leave", "test_killed_member_is_replaced"),
    "topics: create, list, delete": ("test_create_list_delete", "test_refused_topics"),
    "more partitions": ("test_a_topic_gets_more_partitions",),
    "settings of a topic": ("test_settings_are_set_and_told",),
    "groups: list, describe, delete": ("test_groups_are_listed_described_and_deleted",),
    "topics made on first use": ("test_first_produce_creates_the_topic",),
    "goes on after kill -9 of the broker": ("test_data_and_committed_offsets_survive",),
}
