"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31), versions 0-3;
DescribeUserScramCredentials (50), AlterUserScramCredentials (51), version 0.

Security is off: everybody may do everything, and there are no users. Who wants a rule or a
password kept is told so with SECURITY_DISABLED, as Kafka tells it without an authorizer, so that
nobody believes in what is not kept. Who looks for passwords finds none, as in a Kafka where nobody
has one: kafka-configs.sh looks for them on its way to the quotas of users.
"""

from __future__ import annotations

from collections import Counter

from gateway.api.call import Call
from protocol import ErrorCode
from protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
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
    DescribeUserScramCredentialsResult,
)

DISABLED = ErrorCode.SECURITY_DISABLED
NO_AUTHORIZER = "No Authorizer is configured."
NO_USERS = "There are no users: this gateway knows no authentication yet."
SCRAM_SHA_256, SCRAM_SHA_512 = 1, 2
ITERATIONS = range(4_096, 16_384 + 1)


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
    """Nobody has one, whether some are asked for or all."""
    asked = Counter(user.name for user in request.users or ())
    results = []
    for user, count in asked.items():
        code = ErrorCode.DUPLICATE_RESOURCE if count > 1 else ErrorCode.RESOURCE_NOT_FOUND
        results.append(
            DescribeUserScramCredentialsResult(
                user=user, error_code=code, error_message=code.message
            )
        )
    return DescribeUserScramCredentialsResponse(results=results)


def describe_user_scram_credentials_error(
    request: DescribeUserScramCredentialsRequest, code: ErrorCode
) -> DescribeUserScramCredentialsResponse:
    return DescribeUserScramCredentialsResponse(error_code=code)


async def alter_user_scram_credentials(
    request: AlterUserScramCredentialsRequest, call: Call
) -> AlterUserScramCredentialsResponse:
    """What is wrong with a user is told first, and that of deletions before all."""
    codes: dict[str, ErrorCode] = {}
    for gone in request.deletions:
        codes.setdefault(gone.name, _problem(gone) or ErrorCode.RESOURCE_NOT_FOUND)
    for wanted in request.upsertions:
        if codes.get(wanted.name) is DISABLED:
            codes[wanted.name] = ErrorCode.DUPLICATE_RESOURCE
        codes.setdefault(wanted.name, _problem(wanted) or DISABLED)
    return _altered(codes)


def _problem(asked: ScramCredentialDeletion | ScramCredentialUpsertion) -> ErrorCode | None:
    if not asked.name:
        return ErrorCode.UNACCEPTABLE_CREDENTIAL
    if asked.mechanism not in (SCRAM_SHA_256, SCRAM_SHA_512):
        return ErrorCode.UNSUPPORTED_SASL_MECHANISM
    if isinstance(asked, ScramCredentialUpsertion) and asked.iterations not in ITERATIONS:
        return ErrorCode.UNACCEPTABLE_CREDENTIAL
    return None


def alter_user_scram_credentials_error(
    request: AlterUserScramCredentialsRequest, code: ErrorCode
) -> AlterUserScramCredentialsResponse:
    users = [each.name for each in request.deletions]
    users += [each.name for each in request.upsertions]
    return _altered(dict.fromkeys(users, code))


def _altered(codes: dict[str, ErrorCode]) -> AlterUserScramCredentialsResponse:
    """One answer a user."""
    return AlterUserScramCredentialsResponse(
        results=[
            AlterUserScramCredentialsResult(
                user=user,
                error_code=code,
                error_message=NO_USERS if code is DISABLED else code.message,
            )
            for user, code in codes.items()
        ]
    )
