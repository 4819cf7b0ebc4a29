"""Whoever asks for security is told that there is none."""

import pytest

from gateway.tests.harness import started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from protocol.messages.create_acls import AclCreation, CreateAclsRequest
from protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from protocol.messages.describe_acls import DescribeAclsRequest
from protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)

DISABLED = ErrorCode.SECURITY_DISABLED
NO_AUTHORIZER = "No Authorizer is configured."


@pytest.mark.parametrize("version", range(4))
def test_rules_are_refused_one_by_one(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        reply = await client.call(ApiKey.DESCRIBE_ACLS, version, DescribeAclsRequest())
        assert (reply.error_code, reply.error_message) == (DISABLED, NO_AUTHORIZER)
        assert reply.resources == []
        creations = [AclCreation(principal="User:a"), AclCreation(principal="User:b")]
        reply = await client.call(
            ApiKey.CREATE_ACLS, version, CreateAclsRequest(creations=creations)
        )
        found = [(r.error_code, r.error_message) for r in reply.results]
        assert found == [(DISABLED, NO_AUTHORIZER)] * 2
        filters = [DeleteAclsFilter(), DeleteAclsFilter()]
        reply = await client.call(ApiKey.DELETE_ACLS, version, DeleteAclsRequest(filters=filters))
        found = [(r.error_code, r.error_message) for r in reply.filter_results]
        assert found == [(DISABLED, NO_AUTHORIZER)] * 2

    body()


@virtual
async def test_nobody_has_a_password() -> None:
    _, client = await started()
    for names in (None, [], ["a", "b", "a"]):
        users = names and [UserName(name=name) for name in names]
        asked = DescribeUserScramCredentialsRequest(users=users)
        reply = await client.call(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, 0, asked)
        assert reply.error_code == ErrorCode.NONE
        codes = [(result.user, result.error_code) for result in reply.results]
        twice, missing = ErrorCode.DUPLICATE_RESOURCE, ErrorCode.RESOURCE_NOT_FOUND
        assert codes == ([("a", twice), ("b", missing)] if names else [])


def _upsertion(name: str, mechanism: int = 1, iterations: int = 4_096) -> ScramCredentialUpsertion:
    return ScramCredentialUpsertion(name=name, mechanism=mechanism, iterations=iterations)


@virtual
async def test_no_password_is_kept_and_what_is_wrong_with_it_is_told() -> None:
    _, client = await started()
    changes = AlterUserScramCredentialsRequest(
        deletions=[
            ScramCredentialDeletion(name="a", mechanism=1),
            ScramCredentialDeletion(name="b", mechanism=9),
            ScramCredentialDeletion(name="", mechanism=1),
        ],
        upsertions=[
            _upsertion("a"), _upsertion("c"), _upsertion("d"), _upsertion("d", 2),
            _upsertion("e", 0), _upsertion("f", iterations=4_095),
            _upsertion("g", iterations=16_384), _upsertion("h", iterations=16_385),
        ],
    )  # fmt: skip
    reply = await client.call(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, 0, changes)
    assert {result.user: result.error_code for result in reply.results} == {
        "a": ErrorCode.RESOURCE_NOT_FOUND,
        "b": ErrorCode.UNSUPPORTED_SASL_MECHANISM,
        "": ErrorCode.UNACCEPTABLE_CREDENTIAL,
        "c": DISABLED,
        "d": ErrorCode.DUPLICATE_RESOURCE,
        "e": ErrorCode.UNSUPPORTED_SASL_MECHANISM,
        "f": ErrorCode.UNACCEPTABLE_CREDENTIAL,
        "g": DISABLED,
        "h": ErrorCode.UNACCEPTABLE_CREDENTIAL,
    }
    assert all(result.error_message for result in reply.results)
