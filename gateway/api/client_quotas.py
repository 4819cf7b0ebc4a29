"""DescribeClientQuotas (48) and AlterClientQuotas (49), versions 0-1 (KIP-546).

Quotas are for users, client ids or both, each by name or by default (a name of null); nobody has
said who he is, so all are Kafka's ANONYMOUS. Those of an entity change as a whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.api.call import Call, outcomes_of
from gateway.broker.errors import BrokerError
from gateway.broker.metadata_records import ConfiguredKind
from gateway.broker.quota_entities import (
    decode_entity,
    decode_values,
    encode_entity,
    entity_from,
)
from gateway.broker.waiting import STORAGE_TIMEOUT_S
from gateway.fairness.quotas import CLIENT_ID, CONSUMED, IP, PRODUCED, USER, WORKED, Entity
from gateway.fairness.slices import Slices
from protocol import ErrorCode
from protocol.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    EntityDataResponse,
    EntryDataResponse,
    OpData,
)
from protocol.messages.alter_client_quotas import EntryData as Alteration
from protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)

EXACT, DEFAULT, SPECIFIED = range(3)  # DescribeClientQuotasRequest.MATCH_TYPE_*
KINDS = (USER, CLIENT_ID, IP)
LONG_MAX = (1 << 63) - 1
KIND_OF_QUOTAS: ConfiguredKind = "client_quota"

_MUTATIONS, _CONNECTIONS = "controller_mutation_rate", "connection_creation_rate"
_KEYS: Mapping[bool, frozenset[str]] = {
    False: frozenset({PRODUCED, CONSUMED, WORKED, _MUTATIONS}),
    True: frozenset({_CONNECTIONS}),  # of addresses
}
_WHOLE = (PRODUCED, CONSUMED)
_NOT_ENFORCED = {
    _MUTATIONS: "changes of topics are not counted here: what they cost, request_percentage limits",
    _CONNECTIONS: "connections are not counted by the second here: --connections-max-count says "
    "how many there may be",
}


# -- what there is ---------------------------------------------------------------------------


async def describe_client_quotas(
    request: DescribeClientQuotasRequest, call: Call
) -> DescribeClientQuotasResponse:
    try:
        wanted = _filter(request.components)
    except BrokerError as error:
        return describe_client_quotas_error(request, ErrorCode(error.code), str(error))
    configs, slices = call.broker.configs, Slices()
    entries = []
    for name in sorted(configs.names(KIND_OF_QUOTAS)):
        if slices.is_over:
            await slices.pause()
        entity = decode_entity(name)
        if _matches(dict(entity), wanted, request.strict):
            values = decode_values(configs.of(KIND_OF_QUOTAS, name))
            if values:  # none: they have just been taken away
                entries.append(_entry(entity, values))
    return DescribeClientQuotasResponse(entries=entries)


def describe_client_quotas_weight(request: DescribeClientQuotasRequest, call: Call) -> int:
    """How many entities there are to look at."""
    return sum(1 for _ in call.broker.configs.names(KIND_OF_QUOTAS))


def _filter(components: Sequence[ComponentData]) -> dict[str, ComponentData]:
    """By kind. Raises BrokerError, in Kafka's words."""
    found: dict[str, ComponentData] = {}
    for component in components:
        kind = component.entity_type
        if not kind:
            raise _invalid("Invalid empty entity type.")
        if kind in found:
            raise _invalid(f"Entity type {kind} cannot appear more than once in the filter.")
        if kind not in KINDS:
            raise BrokerError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
        _check_match(component)
        found[kind] = component
    if IP in found and len(found) > 1:
        raise _invalid(
            "Invalid entity filter component combination. IP filter component should not be used "
            "with user or clientId filter component."
        )
    return found


def _check_match(component: ComponentData) -> None:
    match component.match_type, component.match:
        case (0, None):
            raise _invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")
        case (1, str()):
            raise _invalid(
                "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."
            )
        case (2, str()):
            raise _invalid(
                "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."
            )
        case (other, _) if other not in (EXACT, DEFAULT, SPECIFIED):
            raise _invalid(f"Unknown match type {other}")


def _matches(
    names: Mapping[str, str | None], wanted: Mapping[str, ComponentData], strict: bool
) -> bool:
    if strict and len(names) != len(wanted):
        return False
    return all(
        kind in names and (component.match_type == SPECIFIED or names[kind] == component.match)
        for kind, component in wanted.items()
    )


def _entry(entity: Entity, values: Mapping[str, float]) -> EntryData:
    return EntryData(
        entity=[EntityData(entity_type=kind, entity_name=name) for kind, name in entity],
        values=[ValueData(key=key, value=value) for key, value in sorted(values.items())],
    )


def describe_client_quotas_error(
    request: DescribeClientQuotasRequest, code: ErrorCode, message: str | None = None
) -> DescribeClientQuotasResponse:
    return DescribeClientQuotasResponse(error_code=code, error_message=message, entries=None)


# -- changes ---------------------------------------------------------------------------------


async def alter_client_quotas(
    request: AlterClientQuotasRequest, call: Call
) -> AlterClientQuotasResponse:
    seen: set[Entity] = set()
    begins = (
        partial(_begin, entry, seen, request.validate_only, call) for entry in request.entries
    )
    outcomes = await outcomes_of(begins, STORAGE_TIMEOUT_S)
    return AlterClientQuotasResponse(
        entries=[
            _answer(entry, *outcome)
            for entry, outcome in zip(request.entries, outcomes, strict=True)
        ]
    )


def _begin(
    entry: Alteration, seen: set[Entity], validate_only: bool, call: Call
) -> asyncio.Future[None] | None:
    """What is to be waited for. Raises BrokerError."""
    names = {each.entity_type: each.entity_name for each in entry.entity}
    entity = entity_from(names)
    keys = {op.key for op in entry.ops}
    if entity in seen or len(keys) < len(entry.ops):
        raise _invalid(f"Ignoring duplicate entity {_shown(names)}")
    seen.add(entity)
    _check_entity(names)
    name = encode_entity(entity)
    had = call.broker.configs.of(KIND_OF_QUOTAS, name)
    wanted = dict(had)
    for op in entry.ops:
        if op.remove:
            wanted.pop(op.key, None)
        else:
            _check_value(op, is_address=IP in names)
            wanted[op.key] = str(op.value)
    if validate_only or wanted == had:
        return None
    return call.broker.configure(KIND_OF_QUOTAS, name, wanted)


def _check_entity(names: Mapping[str, str | None]) -> None:
    """Raises BrokerError, in Kafka's words (ClientQuotaControlManager)."""
    if not names:
        raise _invalid("Invalid empty client quota entity")
    for kind, name in names.items():
        if kind not in KINDS:
            raise _invalid(f"Unhandled client quota entity type: {kind}")
        if name == "":
            raise _invalid(f"Empty {kind} not supported")
    if IP in names and len(names) > 1:
        raise _invalid(
            "Invalid quota entity combination, IP entity shouldnot be combined with User or "
            "ClientId"
        )


def _check_value(op: OpData, *, is_address: bool) -> None:
    """Raises BrokerError, in Kafka's words."""
    key, value = op.key, op.value
    if key not in _KEYS[is_address]:
        raise _invalid(f"Invalid configuration key {key}")
    if not value > 0:  # nor is NaN
        raise _invalid(f"Quota {key} must be greater than 0")
    if key in _WHOLE:
        if value > LONG_MAX:
            raise _invalid(f"Proposed value for {key} is too large for a LONG.")
        if value != int(value):
            raise _invalid(f"{key} cannot be a fractional value.")
    if value == float("inf"):
        raise _invalid(f"{key} is a number; without a quota there is no limit")
    if key in _NOT_ENFORCED:
        raise _invalid(f"{key} is not enforced, so it cannot be set: {_NOT_ENFORCED[key]}")


def _shown(names: Mapping[str, str | None]) -> str:
    """As Kafka prints an entity."""
    entries = ", ".join(f"{kind}={name}" for kind, name in names.items())
    return f"ClientQuotaEntity(entries={{{entries}}})"


def _invalid(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, message)


def _answer(entry: Alteration, code: ErrorCode, message: str | None = None) -> EntryDataResponse:
    return EntryDataResponse(
        error_code=code,
        error_message=message,
        entity=[
            EntityDataResponse(entity_type=each.entity_type, entity_name=each.entity_name)
            for each in entry.entity
        ],
    )


def alter_client_quotas_error(
    request: AlterClientQuotasRequest, code: ErrorCode
) -> AlterClientQuotasResponse:
    return AlterClientQuotasResponse(entries=[_answer(entry, code) for entry in request.entries])
