"""AlterConfigs and IncrementalAlterConfigs through the codec."""

import asyncio
import logging
from typing import Any

import pytest

from gateway.broker.stored_configs import BYTES_MAX
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.tests.harness import Client, World, batch_of, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages import alter_configs as whole
from protocol.messages import incremental_alter_configs as steps

SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
Step = tuple[int, str, str | None]


async def _incremental(
    client: Client,
    *asked: Step,
    topic: str = "t",
    kind: int = TOPIC,
    validate_only: bool = False,
    version: int = 1,
) -> Any:
    configs = [
        steps.AlterableConfig(name=name, config_operation=operation, value=value)
        for operation, name, value in asked
    ]
    resource = steps.AlterConfigsResource(resource_type=kind, resource_name=topic, configs=configs)
    request = steps.IncrementalAlterConfigsRequest(
        resources=[resource], validate_only=validate_only
    )
    reply = await client.call(ApiKey.INCREMENTAL_ALTER_CONFIGS, version, request)
    (answer,) = reply.responses
    assert (answer.resource_type, answer.resource_name) == (kind, topic)
    return answer


async def _whole(client: Client, version: int = 2, **configs: str | None) -> Any:
    wanted = [
        whole.AlterableConfig(name=name.replace("_", "."), value=value)
        for name, value in configs.items()
    ]
    resource = whole.AlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=wanted)
    request = whole.AlterConfigsRequest(resources=[resource])
    return (await client.call(ApiKey.ALTER_CONFIGS, version, request)).responses[0]


def _configs(world: World, topic: str = "t") -> dict[str, str]:
    found = world.gateway.broker.topics.named(topic)
    assert found is not None
    return dict(found.configs)


@pytest.mark.parametrize("version", [0, 1])
@virtual
async def test_set_and_unset_and_what_was_not_named_stays(version: int) -> None:
    world, client = await started()
    await client.create("t", configs={"retention.ms": "5", "segment.bytes": "1000"})
    asked = ((SET, "retention.ms", "7"), (DELETE, "segment.bytes", None), (SET, "flush.ms", "9"))
    assert (await _incremental(client, *asked, version=version)).error_code == 0
    wanted = {"retention.ms": "7", "flush.ms": "9"}
    assert _configs(world) == wanted
    await world.restart()
    assert _configs(world) == wanted
    await world.stop()
    await world.start()
    assert _configs(world) == wanted  # out of the checkpoint


@pytest.mark.parametrize("version", [0, 1, 2])
@virtual
async def test_alter_configs_replaces_everything(version: int) -> None:
    world, client = await started()
    await client.create("t", configs={"retention.ms": "5", "segment.bytes": "1000"})
    assert (await _whole(client, version, retention_bytes="9")).error_code == 0
    assert _configs(world) == {"retention.bytes": "9"}
    assert (await _whole(client, version)).error_code == 0
    assert _configs(world) == {}
    refused = await _whole(client, version, retention_bytes=None)
    assert (refused.error_code, refused.error_message is None) == (42, False)
    refused = await _whole(client, version, retention_bytes="x")
    assert refused.error_code == ErrorCode.INVALID_CONFIG


@virtual
async def test_lists_are_appended_to_and_subtracted_from() -> None:
    world, client = await started()
    await client.create("t")
    for operation, value, wanted in (
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "delete", "compact"),
        (APPEND, " delete , compact", "compact,delete"),
        (SUBTRACT, "delete,compact", ""),
        (APPEND, "delete", "delete"),
    ):
        assert (await _incremental(client, (operation, "cleanup.policy", value))).error_code == 0
        assert _configs(world) == {"cleanup.policy": wanted}


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ([(SET, "no.such", "1")], ErrorCode.INVALID_CONFIG, "no.such"),
        ([(DELETE, "no.such", None)], ErrorCode.NONE, ""),
        ([(SET, "retention.ms", "soon")], ErrorCode.INVALID_CONFIG, "number"),
        ([(SET, "retention.ms", None)], ErrorCode.INVALID_REQUEST, "no value"),
        ([(APPEND, "cleanup.policy", None)], ErrorCode.INVALID_REQUEST, "no value"),
        ([(4, "retention.ms", "1")], ErrorCode.INVALID_REQUEST, "operation 4"),
        ([(APPEND, "retention.ms", "1")], ErrorCode.INVALID_CONFIG, "not a list"),
        ([(APPEND, "no.such", "1")], ErrorCode.INVALID_CONFIG, "not a list"),
        ([(APPEND, "cleanup.policy", "burn")], ErrorCode.INVALID_CONFIG, "some of"),
        (
            [(SET, "retention.ms", "1"), (DELETE, "retention.ms", None)],
            ErrorCode.INVALID_REQUEST,
            "twice",
        ),
        # A topic changes as a whole or not at all.
        ([(SET, "retention.ms", "1"), (SET, "flush.ms", "x")], ErrorCode.INVALID_CONFIG, "flush"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
@virtual
async def test_what_is_refused(
    asked: list[Step], code: int, words: str, validate_only: bool
) -> None:
    world, client = await started()
    await client.create("t", configs={"retention.bytes": "5"})
    answer = await _incremental(client, *asked, validate_only=validate_only)
    assert answer.error_code == code
    assert words in (answer.error_message or "")
    assert _configs(world) == {"retention.bytes": "5"}


@virtual
async def test_only_topics_that_are_there_and_not_the_gateways_own() -> None:
    world, client = await started()
    await client.create("t")
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    asked = (SET, "retention.ms", "1")
    end = world.catalog_log.end_offset(0)
    for kind, name, code in (
        (TOPIC, "none", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, OFFSETS_TOPIC, ErrorCode.INVALID_REQUEST),
        (TOPIC, "", ErrorCode.INVALID_REQUEST),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "", ErrorCode.INVALID_REQUEST),
        (BROKER_LOGGER, "2", ErrorCode.INVALID_REQUEST),
        (CLIENT_METRICS, "m", ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (GROUP, "g" * 2_000, ErrorCode.INVALID_REQUEST),
        (64, "x", ErrorCode.INVALID_REQUEST),
    ):
        answer = await _incremental(client, asked, topic=name, kind=kind)
        assert answer.error_code == code
        assert answer.error_message
    assert world.catalog_log.end_offset(0) == end


@virtual
async def test_validating_changes_nothing() -> None:
    world, client = await started()
    await client.create("t")
    end = world.catalog_log.end_offset(0)
    answer = await _incremental(client, (SET, "retention.ms", "1"), validate_only=True)
    assert answer.error_code == 0
    assert _configs(world) == {}
    assert world.catalog_log.end_offset(0) == end


@virtual
async def test_each_topic_of_a_request_for_itself_and_one_write_for_all() -> None:
    world, client = await started()
    await client.create("a", "b", "c")
    resources = [
        steps.AlterConfigsResource(
            resource_type=TOPIC,
            resource_name=name,
            configs=[steps.AlterableConfig(name="retention.ms", config_operation=0, value=value)],
        )
        for name, value in (("a", "1"), ("b", "x"), ("c", "2"), ("d", "3"), ("d", "4"))
    ]
    written = world.objects.count("create")
    request = steps.IncrementalAlterConfigsRequest(resources=resources)
    reply = await client.call(ApiKey.INCREMENTAL_ALTER_CONFIGS, 1, request)
    codes = [answer.error_code for answer in reply.responses]
    assert codes == [0, ErrorCode.INVALID_CONFIG, 0, 42, 42]
    assert world.objects.count("create") == written + 1
    assert [_configs(world, name).get("retention.ms") for name in "abc"] == ["1", None, "2"]


@virtual
async def test_it_is_answered_when_it_is_durable_and_times_out_when_that_takes_too_long() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 1.0
    changing = asyncio.ensure_future(_incremental(client, (SET, "retention.ms", "1")))
    await asyncio.sleep(0.9)
    assert not changing.done()
    await asyncio.sleep(0.2)
    assert changing.result().error_code == 0
    world.objects.latency_s = 100.0
    late = await _incremental(client, (SET, "retention.ms", "2"))
    assert late.error_code == ErrorCode.REQUEST_TIMED_OUT


@virtual
async def test_what_is_changed_is_acted_on_at_once() -> None:
    world, client = await started()
    await client.create("t")
    big = batch_of(b"x" * 5_000)
    assert (await client.produced("t", big)).error_code == 0
    await _incremental(client, (SET, "max.message.bytes", "1000"))
    assert (await client.produced("t", big)).error_code == ErrorCode.MESSAGE_TOO_LARGE
    await _incremental(
        client,
        (DELETE, "max.message.bytes", None),
        (SET, "message.timestamp.type", "LogAppendTime"),
    )
    answer = await client.produced("t", big)
    assert (answer.error_code, answer.log_append_time_ms > 0) == (0, True)
    await _incremental(client, (SET, "message.timestamp.type", "CreateTime"))
    assert (await client.produced("t", big)).log_append_time_ms == -1
    assert await world.gateway.retention.sweep() == 0
    await _incremental(client, (SET, "retention.ms", "0"))
    await asyncio.sleep(1)
    assert await world.gateway.retention.sweep() == 1
    await _incremental(client, (SET, "cleanup.policy", "compact"))
    refused = await client.deleted("t", -1)
    assert refused.error_code == ErrorCode.POLICY_VIOLATION


@virtual
async def test_what_is_set_on_brokers_holds_for_topics_at_once_and_after_a_restart() -> None:
    world, client = await started()
    await client.create("t")
    big = batch_of(b"x" * 5_000)
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    for_all = ((SET, "message.max.bytes", "1000"), (SET, "log.retention.ms", "7"))
    assert (await _incremental(client, *for_all, topic="", kind=BROKER)).error_code == 0
    own = (SET, "log.retention.ms", "9")
    assert (await _incremental(client, own, topic="1", kind=BROKER)).error_code == 0
    assert (await client.produced("t", big)).error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert (topic.retention_ms, topic.message_bytes_max) == (9, 1_000)
    for is_crash in (True, False):
        if is_crash:
            await world.restart()
        else:
            await world.stop()
            await world.start()  # out of the checkpoint
        topic = world.gateway.broker.topics.named("t")
        assert topic is not None
        assert (topic.retention_ms, topic.message_bytes_max) == (9, 1_000)
    client = world.client()
    unset = (DELETE, "message.max.bytes", None)
    assert (await _incremental(client, unset, topic="", kind=BROKER)).error_code == 0
    assert (await client.produced("t", big)).error_code == 0


@virtual
async def test_more_that_can_be_set_on_a_broker_is_acted_on() -> None:
    world, client = await started(connections_max_count=10)
    asked = ((SET, "max.connections", "2"), (SET, "producer.id.expiration.ms", "60000"))
    assert (await _incremental(client, *asked, topic="1", kind=BROKER)).error_code == 0
    assert world.gateway.broker.producer_memory.expiration_ms == 60_000
    assert world.client().is_open
    assert not world.client().is_open
    gone = ((DELETE, "max.connections", None), (DELETE, "producer.id.expiration.ms", None))
    assert (await _incremental(client, *gone, topic="1", kind=BROKER)).error_code == 0
    assert world.gateway.broker.producer_memory.expiration_ms == 86_400_000
    assert world.client().is_open


@pytest.mark.parametrize(
    ("kind", "name", "step", "code", "words"),
    [
        (BROKER, "1", (SET, "log.retention.ms", "soon"), 42, "number"),
        (BROKER, "", (SET, "num.partitions", "3"), 42, "started with"),
        (BROKER, "1", (SET, "num.io.threads", "3"), 42, "has no effect here"),
        (BROKER, "1", (SET, "no.such", "3"), 42, "there is no setting"),
        (BROKER, "1", (SET, "log.retention.ms", None), 42, "no value"),
        (BROKER, "1", (9, "log.retention.ms", "1"), 42, "operation 9"),
        (BROKER, "1", (APPEND, "log.retention.ms", "1"), 40, "not a list"),
        (GROUP, "g", (SET, "no.such", "1"), 40, "unknown group config"),
        (GROUP, "g", (SET, "consumer.session.timeout.ms", "1"), 40, "45000"),
        (GROUP, "g", (APPEND, "consumer.session.timeout.ms", "1"), 40, "not a list"),
        (BROKER_LOGGER, "1", (SET, "no.such", "INFO"), 40, "there is no logger"),
        (BROKER_LOGGER, "1", (SET, "root", "LOUD"), 40, "TRACE"),
        (BROKER_LOGGER, "1", (SET, "root", None), 42, "no value"),
        (BROKER_LOGGER, "1", (DELETE, "root", None), 42, "of its own"),
        (BROKER_LOGGER, "1", (APPEND, "root", "INFO"), 42, "not 2"),
    ],
)
@virtual
async def test_what_brokers_groups_and_loggers_refuse(
    kind: int, name: str, step: Step, code: int, words: str
) -> None:
    world, client = await started()
    end = world.catalog_log.end_offset(0)
    answer = await _incremental(client, step, topic=name, kind=kind)
    assert answer.error_code == code
    assert words in answer.error_message
    assert world.catalog_log.end_offset(0) == end


@virtual
async def test_a_list_of_brokers_grows_and_shrinks() -> None:
    world, client = await started()
    configs = world.gateway.broker.configs
    for operation, value, wanted in (
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
    ):
        step = (operation, "log.cleanup.policy", value)
        assert (await _incremental(client, step, topic="1", kind=BROKER)).error_code == 0
        assert configs.of("broker", "1") == {"log.cleanup.policy": wanted}


@virtual
async def test_levels_of_loggers_change_at_once_all_or_none_and_not_by_alter_configs() -> None:
    _, client = await started()
    name = "gateway.api.alter_configs"
    logger = logging.getLogger(name)
    try:
        both = ((SET, name, "FATAL"), (SET, "no.such", "INFO"))
        refused = await _incremental(client, *both, topic="1", kind=BROKER_LOGGER)
        assert refused.error_code == ErrorCode.INVALID_CONFIG
        step = (SET, name, "FATAL")
        await _incremental(client, step, topic="1", kind=BROKER_LOGGER, validate_only=True)
        assert logger.level == logging.NOTSET
        assert (await _incremental(client, step, topic="1", kind=BROKER_LOGGER)).error_code == 0
        assert logger.level == logging.CRITICAL
        gone = (DELETE, name, None)
        assert (await _incremental(client, gone, topic="1", kind=BROKER_LOGGER)).error_code == 0
        assert logger.level == logging.NOTSET
        resource = whole.AlterConfigsResource(resource_type=BROKER_LOGGER, resource_name="1")
        request = whole.AlterConfigsRequest(resources=[resource])
        (answer,) = (await client.call(ApiKey.ALTER_CONFIGS, 2, request)).responses
        assert answer.error_code == ErrorCode.INVALID_REQUEST
    finally:
        logger.setLevel(logging.NOTSET)


@virtual
async def test_what_is_set_on_a_group_is_kept_and_all_groups_together_are_bounded() -> None:
    world, client = await started()
    step = (SET, "consumer.session.timeout.ms", "50000")
    assert (await _incremental(client, step, topic="g", kind=GROUP)).error_code == 0
    client = await world.restart()
    configs = world.gateway.broker.configs
    assert configs.of("group", "g") == {"consumer.session.timeout.ms": "50000"}
    configs.bytes_count = BYTES_MAX
    full = await _incremental(client, step, topic="h", kind=GROUP)
    assert full.error_code == ErrorCode.POLICY_VIOLATION
    gone = (DELETE, "consumer.session.timeout.ms", None)
    assert (await _incremental(client, gone, topic="g", kind=GROUP)).error_code == 0
    assert list(configs.names("group")) == []
