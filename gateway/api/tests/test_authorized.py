from gateway.api.authorized import NOT_ASKED, authorized_operations
from gateway.api.row import Resource


def test_the_bits_that_kafka_answers_without_an_authorizer() -> None:
    found = {each: authorized_operations(each, True) for each in Resource}
    assert found == {
        Resource.TOPIC: 3576,
        Resource.GROUP: 3400,
        Resource.CLUSTER: 8096,
        Resource.TRANSACTIONAL_ID: 272,
    }


def test_nobody_asked() -> None:
    assert authorized_operations(Resource.TOPIC, False) == NOT_ASKED == -2147483648
