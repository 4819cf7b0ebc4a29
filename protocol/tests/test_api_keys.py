from kafka.protocol.api_key import ApiKey as KafkaPythonApiKey

from protocol import ApiKey
from protocol.codegen.table import camel_to_snake


def test_keys_are_kafkas() -> None:
    theirs = {camel_to_snake(key.name).upper(): int(key) for key in KafkaPythonApiKey}
    assert {key.name: int(key) for key in ApiKey} == theirs
