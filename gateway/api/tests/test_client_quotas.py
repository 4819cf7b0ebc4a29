"""DescribeClientQuotas and AlterClientQuotas through the codec; the answers are Kafka 3.9.1's."""

from typing import Any

import pytest

from gateway.broker.stored_configs import BYTES_MAX
from gateway.tests.harness import Client, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages import alter_client_quotas as alter
from protocol.messages import describe_client_quotas as describe

RATE = "producer_byte_rate"
Names = list[tuple[str, str | None]]
Op = tuple[str, float] | tuple[str, None]
A: Names = [("client-id", "a")]


async def _alter(
    client: Client, names: Names, *ops: Op, version: int = 1, validate_only: bool = False
) -> tuple[int, str | None]:
    entry = alter.EntryData(
        entity=[alter.EntityData(entity_type=kind, entity_name=name) for kind, name in names],
        ops=[alter.OpData(key=k, value=v or 0.0, remove=v is None) for k, v in ops],
    )
    request = alter.AlterClientQuotasRequest(entries=[entry], validate_only=validate_only)
    reply = await client.call(ApiKey.ALTER_CLIENT_QUOTAS, version, request)
    (answer,) = reply.entries
    assert [(each.entity_type, each.entity_name) for each in answer.entity] == names
    return answer.error_code, answer.error_message


async def _described(
    client: Client, *components: tuple[str, int, str | None], strict: bool = False, version: int = 1
) -> Any:
    request = describe.DescribeClientQuotasRequest(
        components=[describe.ComponentData(kind, how, name) for kind, how, name in components],
        strict=strict,
    )
    return await client.call(ApiKey.DESCRIBE_CLIENT_QUOTAS, version, request)


async def _found(client: Client, *components: tuple[str, int, str | None], **more: Any) -> Any:
    reply = await _described(client, *components, **more)
    assert reply.error_code == 0
    return {
        tuple((each.entity_type, each.entity_name) for each in entry.entity): {
            value.key: value.value for value in entry.values
        }
        for entry in reply.entries
    }


@pytest.mark.parametrize("version", [0, 1])
@virtual
async def test_quotas_are_set_kept_and_taken_away(version: int) -> None:
    world, client = await started()
    both: Names = [("user", "u"), ("client-id", None)]
    ops: list[Op] = [(RATE, 1_000.0), ("request_percentage", 1.5)]
    assert await _alter(client, both, *ops, version=version) == (0, None)
    assert await _alter(client, A, ("consumer_byte_rate", 5.0), version=version) == (0, None)
    everything = {
        (("client-id", None), ("user", "u")): {RATE: 1_000.0, "request_percentage": 1.5},
        (("client-id", "a"),): {"consumer_byte_rate": 5.0},
    }
    assert await _found(client, version=version) == everything
    await world.restart()
    client = world.client()
    assert await _found(client, version=version) == everything
    assert world.gateway.broker.quotas.has("consumer_byte_rate", "a")
    assert await _alter(client, both, (RATE, None)) == (0, None)
    assert await _alter(client, A, ("consumer_byte_rate", None)) == (0, None)
    assert await _found(client) == {
        (("client-id", None), ("user", "u")): {"request_percentage": 1.5}
    }
    await world.stop()


@virtual
async def test_what_is_not_valid_is_refused_in_kafkas_words() -> None:
    world, client = await started()
    refused: list[tuple[Names, list[Op], str]] = [
        (A, [("connection_creation_rate", 10.0)], "Invalid configuration key connection_creation"),
        ([("ip", "127.0.0.3")], [(RATE, 10.0)], "Invalid configuration key producer_byte_rate"),
        (A, [("no_such", 10.0)], "Invalid configuration key no_such"),
        (A, [(RATE, 1.5)], "producer_byte_rate cannot be a fractional value."),
        (A, [(RATE, -1.0)], "Quota producer_byte_rate must be greater than 0"),
        (A, [("request_percentage", 0.0)], "Quota request_percentage must be greater than 0"),
        (A, [(RATE, float("inf"))], "Proposed value for producer_byte_rate is too large for a LO"),
        (A, [(RATE, 1e30)], "Proposed value for producer_byte_rate is too large for a LONG."),
        (A, [("request_percentage", float("inf"))], "is a number"),
        (A, [(RATE, float("nan"))], "must be greater than 0"),
        ([("client-id", "")], [(RATE, 10.0)], "Empty client-id not supported"),
        ([("", "")], [(RATE, 10.0)], "Unhandled client quota entity type: "),
        ([("group", "x")], [(RATE, 10.0)], "Unhandled client quota entity type: group"),
        ([], [(RATE, 10.0)], "Invalid empty client quota entity"),
        (
            [("ip", "127.0.0.2"), ("user", "x")],
            [("connection_creation_rate", 10.0)],
            "IP entity shouldnot be combined",
        ),
        (
            A,
            [(RATE, 10.0), (RATE, 20.0)],
            "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=a})",
        ),
        ([("ip", None)], [("connection_creation_rate", 10.0)], "is not enforced"),
        (A, [("controller_mutation_rate", 10.0)], "is not enforced"),
    ]
    for names, ops, message in refused:
        code, said = await _alter(client, names, *ops)
        assert code == ErrorCode.INVALID_REQUEST, (names, ops)
        assert said is not None and message in said, (names, ops, said)
    assert await _found(client) == {}
    await world.stop()


@virtual
async def test_an_entity_changes_as_a_whole_or_not_at_all() -> None:
    world, client = await started()
    assert (await _alter(client, A, (RATE, 5.0)))[0] == 0
    code, _ = await _alter(client, A, (RATE, 7.0), ("no_such", 1.0))
    assert code == ErrorCode.INVALID_REQUEST
    assert await _alter(client, A, (RATE, 9.0), validate_only=True) == (0, None)
    assert await _found(client) == {(("client-id", "a"),): {RATE: 5.0}}
    await world.stop()


@virtual
async def test_taking_away_what_is_not_there_is_well() -> None:
    world, client = await started()
    assert await _alter(client, A, ("no_such", None)) == (0, None)
    assert await _alter(client, A) == (0, None)
    assert await _found(client) == {}
    await world.stop()


@virtual
async def test_of_an_entity_named_twice_the_first_counts() -> None:
    world, client = await started()
    entry = alter.EntryData(
        entity=[alter.EntityData("client-id", "a")], ops=[alter.OpData(RATE, 5.0, False)]
    )
    request = alter.AlterClientQuotasRequest(entries=[entry, entry])
    reply = await client.call(ApiKey.ALTER_CLIENT_QUOTAS, 1, request)
    assert [answer.error_code for answer in reply.entries] == [0, ErrorCode.INVALID_REQUEST]
    await world.stop()


EXACT, DEFAULT, ANY = range(3)


@virtual
async def test_filters_find_what_they_ask_for() -> None:
    world, client = await started()
    entities: dict[str, Names] = {
        "a": A,
        "b": [("client-id", "b")],
        "default": [("client-id", None)],
        "u": [("user", "u")],
        "u, a": [("client-id", "a"), ("user", "u")],
        "defaults": [("client-id", None), ("user", None)],
    }
    titles = {tuple(names): title for title, names in entities.items()}
    for names in entities.values():
        assert (await _alter(client, names, (RATE, 5.0)))[0] == 0
    cases: list[tuple[list[tuple[str, int, str | None]], set[str], set[str]]] = [
        ([], set(entities), set()),
        ([("client-id", EXACT, "a")], {"a", "u, a"}, {"a"}),
        ([("client-id", DEFAULT, None)], {"default", "defaults"}, {"default"}),
        (
            [("client-id", ANY, None)],
            {"a", "b", "default", "u, a", "defaults"},
            {"a", "b", "default"},
        ),
        ([("user", ANY, None)], {"u", "u, a", "defaults"}, {"u"}),
        ([("user", EXACT, "u"), ("client-id", ANY, None)], {"u, a"}, {"u, a"}),
        ([("client-id", EXACT, "none")], set(), set()),
        ([("ip", ANY, None)], set(), set()),
    ]
    for components, contained, strictly in cases:
        found = await _found(client, *components)
        assert {titles[names] for names in found} == contained, components
        found = await _found(client, *components, strict=True)
        assert {titles[names] for names in found} == strictly, components
    await world.stop()


@pytest.mark.parametrize(
    ("components", "code", "message"),
    [
        ([("group", 0, "x")], 35, "Unsupported entity type group"),
        ([("client-id", 3, "x")], 42, "Unknown match type 3"),
        ([("client-id", 0, None)], 42, "MATCH_TYPE_EXACT, but set match string to null."),
        ([("client-id", 1, "x")], 42, "MATCH_TYPE_DEFAULT, but also specified a match string."),
        ([("client-id", 2, "x")], 42, "MATCH_TYPE_SPECIFIED, but also specified a match string."),
        ([("user", 2, None), ("user", 2, None)], 42, "user cannot appear more than once"),
        ([("ip", 2, None), ("user", 2, None)], 42, "IP filter component should not be used"),
        ([("", 0, "a")], 42, "Invalid empty entity type."),
    ],
)
def test_a_filter_that_means_nothing_is_refused(components: Any, code: int, message: str) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        reply = await _described(client, *components)
        assert reply.error_code == code
        assert message in reply.error_message
        assert reply.entries is None
        await world.stop()

    body()


@virtual
async def test_quotas_take_no_more_than_their_room() -> None:
    world, client = await started()
    name = "x" * 30_000
    codes = []
    for number in range(BYTES_MAX // 30_000 + 2):
        code, said = await _alter(client, [("client-id", f"{number}{name}")], (RATE, 5.0))
        codes.append(code)
    assert codes[-1] == ErrorCode.POLICY_VIOLATION
    assert said is not None and "quotas take" in said
    assert (await _alter(client, [("client-id", f"0{name}")], (RATE, None)))[0] == 0
    assert (await _alter(client, [("client-id", f"last{name[4:]}")], (RATE, 5.0)))[0] == 0
    await world.stop()
