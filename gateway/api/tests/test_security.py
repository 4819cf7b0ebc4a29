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
async def test_there_are_no_users() -> None:
    _, client = await started()
    for users in (None, []):
        asked = DescribeUserScramCredentialsRequest(users=users)
        reply = await client.call(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, 0, asked)
        assert (reply.error_code, reply.results) == (DISABLED, [])
        assert "no authentication" in reply.error_message
    changes = AlterUserScramCredentialsRequest(
        deletions=[ScramCredentialDeletion(name="a", mechanism=1)],
        upsertions=[
            ScramCredentialUpsertion(name="b", mechanism=1, iterations=4096),
            ScramCredentialUpsertion(name="a", mechanism=2, iterations=4096),
        ],
    )
    reply = await client.call(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, 0, changes)
    assert [(r.user, r.error_code) for r in reply.results] == [("a", DISABLED), ("b", DISABLED)]
