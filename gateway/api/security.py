"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31), versions 0-3;
DescribeUserScramCredentials (50), AlterUserScramCredentials (51), version 0.

Security is off: everybody may do everything, and there are no users. That is said as Kafka says it
without an authorizer, with SECURITY_DISABLED, so that nobody believes in a rule that is not kept.
"""

from __future__ import annotations

from gateway.api.call import Call
from protocol import ErrorCode
from protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
)
from protocol.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse
from protocol.messages.delete_acls import (
    DeleteAclsFilterResult,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse
from protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
)

DISABLED = ErrorCode.SECURITY_DISABLED
NO_AUTHORIZER = "No Authorizer is configured."
NO_USERS = "There are no users: this gateway knows no authentication yet."


async def describe_acls(request: DescribeAclsRequest, call: Call) -> DescribeAclsResponse:
    return DescribeAclsResponse(error_code=DISABLED, error_message=NO_AUTHORIZER)


def describe_acls_error(request: DescribeAclsRequest, code: ErrorCode) -> DescribeAclsResponse:
    return DescribeAclsResponse(error_code=code)


async def create_acls(request: CreateAclsRequest, call: Call) -> CreateAclsResponse:
    return CreateAclsResponse(
        results=[
            AclCreationResult(error_code=DISABLED, error_message=NO_AUTHORIZER)
            for _ in request.creations
        ]
    )


def create_acls_error(request: CreateAclsRequest, code: ErrorCode) -> CreateAclsResponse:
    return CreateAclsResponse(results=[AclCreationResult(error_code=code)] * len(request.creations))


async def delete_acls(request: DeleteAclsRequest, call: Call) -> DeleteAclsResponse:
    return DeleteAclsResponse(
        filter_results=[
            DeleteAclsFilterResult(error_code=DISABLED, error_message=NO_AUTHORIZER)
            for _ in request.filters
        ]
    )


def delete_acls_error(request: DeleteAclsRequest, code: ErrorCode) -> DeleteAclsResponse:
    return DeleteAclsResponse(
        filter_results=[DeleteAclsFilterResult(error_code=code)] * len(request.filters)
    )


async def describe_user_scram_credentials(
    request: DescribeUserScramCredentialsRequest, call: Call
) -> DescribeUserScramCredentialsResponse:
    return DescribeUserScramCredentialsResponse(error_code=DISABLED, error_message=NO_USERS)


def describe_user_scram_credentials_error(
    request: DescribeUserScramCredentialsRequest, code: ErrorCode
) -> DescribeUserScramCredentialsResponse:
    return DescribeUserScramCredentialsResponse(error_code=code)


async def alter_user_scram_credentials(
    request: AlterUserScramCredentialsRequest, call: Call
) -> AlterUserScramCredentialsResponse:
    return _altered(request, DISABLED, NO_USERS)


def alter_user_scram_credentials_error(
    request: AlterUserScramCredentialsRequest, code: ErrorCode
) -> AlterUserScramCredentialsResponse:
    return _altered(request, code, None)


def _altered(
    request: AlterUserScramCredentialsRequest, code: ErrorCode, message: str | None
) -> AlterUserScramCredentialsResponse:
    """One answer a user."""
    users = dict.fromkeys(
        [*(each.name for each in request.deletions), *(each.name for each in request.upsertions)]
    )
    return AlterUserScramCredentialsResponse(
        results=[
            AlterUserScramCredentialsResult(user=user, error_code=code, error_message=message)
            for user in users
        ]
    )
