"""The broker's logs as its node sees them."""

from gateway.broker.own_logs import BrokerLogs
from gateway.tests.harness import started, virtual


@virtual
async def test_all_logs_of_the_cluster_are_named_and_those_served_here_have_a_term() -> None:
    world, client = await started(logs_count=3)
    await client.create("t", partitions=3)
    await world.stop()
    world.config = world.config.__class__(data="memory:", logs_count=1)
    await world.start()
    logs = BrokerLogs(world.gateway.broker)
    assert logs.log_ids() == {0, 1, 2, 3}  # topics lie on more than new ones go to
    assert [logs.term_of(log_id) for log_id in (0, 1, 2, 3, 4)] == [2, 2, 2, 2, None]
    await logs.check(1)
    await world.stop()
