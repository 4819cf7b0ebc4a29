import dataclasses

from gateway.groups import GroupConfig, group_config
from gateway.settings.config import Config


def test_a_limit_has_one_default() -> None:
    """What is a setting has it among the settings, the rest here."""
    without = {f.name for f in dataclasses.fields(GroupConfig) if f.default is dataclasses.MISSING}
    settings = {f.name.removeprefix("group_") for f in dataclasses.fields(Config)}
    beside = {
        "member_metadata_bytes_max",  # group_member_bytes_max
        "group_record_bytes_max",  # message_bytes_max, and the next
        "commit_bytes_max",
        "groups_max_count",
        "group_offsets_bytes_max",
        "group_id_bytes_max",
    }
    assert without - beside <= settings
    others = {f.name for f in dataclasses.fields(GroupConfig)} - without
    assert not others & settings


def test_what_is_set_is_passed_on() -> None:
    config = Config(groups_max_count=7, group_member_bytes_max=2_048, message_bytes_max=1 << 20)
    limits = group_config(config)
    assert (limits.groups_max_count, limits.member_metadata_bytes_max) == (7, 2_048)
    assert limits.commit_bytes_max == limits.group_record_bytes_max == 1 << 20
