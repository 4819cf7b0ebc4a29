"""What the schemas in the newest kafka-clients say is what messages are generated from."""

from collections.abc import Callable

from compat_tests.oracle.newer import NAMES, newest_jar
from compat_tests.support.client import Library
from protocol.codegen.__main__ import TABLE, read
from protocol.codegen.extract import OF_JAR, extract_table


def test_the_table_is_what_the_jar_says(need: Callable[[str], Library]) -> None:
    need("java-4.4")
    assert set(NAMES) == OF_JAR
    assert extract_table(read(TABLE), newest_jar()) == read(TABLE)
