"""The gateway that stands beside a Kafka, as `compat_tests/oracle` has it."""

from compat_tests.oracle.conftest import beside

__all__ = ["beside"]
