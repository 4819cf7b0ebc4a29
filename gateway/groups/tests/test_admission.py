"""Who may join: bounds of a request, of a group, and of all groups together."""

from __future__ import annotations

from gateway.groups.tests.harness import Client, make, virtual
from protocol.error_codes import ErrorCode as E


@virtual
async def test_the_metadata_of_all_members_fits_the_record_of_the_group():
    coordinator = make(group_record_bytes_max=3_000)
    first, second = (Client(coordinator, protocols=(("range", bytes(1_300)),)) for _ in range(2))
    await first.enter()
    assert (await second.join_once()).error is E.MEMBER_ID_REQUIRED
    third = Client(coordinator, protocols=(("range", bytes(1_800)),))
    assert (await third.join_once()).error is E.GROUP_MAX_SIZE_REACHED


@virtual
async def test_too_many_protocols_are_refused():
    coordinator = make()
    names = tuple((f"p{n}", b"") for n in range(101))
    assert (await Client(coordinator).join_once(protocols=names)).error is E.INVALID_REQUEST
    assert (await Client(coordinator, protocols=names[:100]).enter()).error is E.NONE


@virtual
async def test_a_group_beyond_one_record_of_the_journal_does_not_become_stable():
    coordinator = make(group_record_bytes_max=1_000)
    client = Client(coordinator)
    await client.join()
    assert (await client.sync({client.member_id: bytes(1_000)})).error is E.UNKNOWN_SERVER_ERROR
    await client.join()
    assert (await client.sync({client.member_id: bytes(10)})).error is E.NONE


@virtual
async def test_all_groups_share_one_memory_budget_and_give_it_back():
    coordinator = make(state_bytes_max=300_000)
    big = (("range", bytes(9_000)),)
    clients = [Client(coordinator, group=f"g{n}", protocols=big) for n in range(20)]
    codes = [(await client.join()).error for client in clients]
    joined_count = codes.index(E.COORDINATOR_NOT_AVAILABLE)
    assert set(codes[joined_count:]) == {E.COORDINATOR_NOT_AVAILABLE}
    assert f"g{joined_count}" not in coordinator._groups
    # What small ones need is there, also for the same client, and all the more for others.
    assert (await Client(coordinator, group="small").enter()).error is E.NONE
    elsewhere = Client(coordinator, group="elsewhere", protocols=big)
    assert (await elsewhere.join_once(client_host="/192.0.2.7")).error is E.MEMBER_ID_REQUIRED
    for client in clients[:joined_count]:
        client.leave()
    assert (await clients[joined_count].enter()).error is E.NONE
    await coordinator.close()
    assert coordinator.budget.used_bytes == 0
