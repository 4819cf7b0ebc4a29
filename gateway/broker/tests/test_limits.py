from gateway.broker.limits import BrokerLimits
from gateway.server import _broker_limits
from gateway.settings.config import Config


def test_each_limit_is_the_setting_of_its_name() -> None:
    config = Config(data="memory:")
    limits = _broker_limits(config)
    for name in BrokerLimits._fields:
        assert getattr(limits, name) == getattr(config, name), name
