"""What to do about a cloud's refusals, in its own words: its variables, its rights, its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Remedies(NamedTuple):
    """For one kind of store."""

    no_keys: str  # a whole sentence: nothing was found to sign with
    keys: str  # what was found is not accepted
    rights: str  # it is accepted, and not enough
    elsewhere: str  # the bucket is another region's or account's
    condition: str  # it does not know conditional writes
    codes: Mapping[str, str]
    """By the store's own error code, where the status alone says too little."""

    def of(self, status: int, code: str) -> str | None:
        """What to do about an answer, if anything is known to help."""
        by_status = {
            401: self.keys,
            403: self.rights,
            501: self.condition,
        }
        return self.codes.get(code) or by_status.get(status)


_CREATE_BUCKET = "create the bucket or correct --data"
_BUCKET_NAME = "correct the bucket's name in --data"
_CLOCK = "set this machine's clock"

_S3_KEYS = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN"
)
_S3_REGION = "set the bucket's own region with --s3-region or AWS_REGION"
_S3_CONDITION = (
    "the store has to support conditional writes (PUT with If-None-Match), which keep two writers "
    "out of one log"
)
_S3 = Remedies(
    no_keys=(
        "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile "
        "with AWS_PROFILE, or give this machine a role"
    ),
    keys=_S3_KEYS,
    rights=(
        "the credentials need the rights to list the bucket and to get, put and delete its objects"
    ),
    elsewhere=_S3_REGION,
    condition=_S3_CONDITION,
    codes={
        "NoSuchBucket": _CREATE_BUCKET,
        "InvalidBucketName": _BUCKET_NAME,
        "InvalidAccessKeyId": _S3_KEYS,
        "SignatureDoesNotMatch": _S3_KEYS,
        "InvalidToken": _S3_KEYS,
        "ExpiredToken": _S3_KEYS,
        "RequestTimeTooSkewed": _CLOCK,
        "AuthorizationHeaderMalformed": _S3_REGION,
        "PermanentRedirect": _S3_REGION,
        "NotImplemented": _S3_CONDITION,
    },
)

_GS_KEYS = (
    "check GOOGLE_APPLICATION_CREDENTIALS: the file of a service account's key, or of "
    "`gcloud auth application-default login`"
)
_GS_CONDITION = (
    "the store has to support conditional writes (PUT with x-goog-if-generation-match: 0), which "
    "keep two writers out of one log"
)
_GS = Remedies(
    no_keys=(
        "no credentials found: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service "
        "account's key, or give this machine a service account"
    ),
    keys=_GS_KEYS,
    rights=(
        "the account needs the role Storage Object User (roles/storage.objectUser) on the bucket: "
        "to list, get, create and delete its objects"
    ),
    elsewhere="check the bucket's name in --data and --gs-endpoint",
    condition=_GS_CONDITION,
    codes={
        "NoSuchBucket": _CREATE_BUCKET,
        "InvalidBucketName": _BUCKET_NAME,
        "AuthenticationRequired": _GS_KEYS,
        "InvalidToken": _GS_KEYS,
        "ExpiredToken": _GS_KEYS,
        "UserProjectMissing": "the bucket lets requesters pay, which is not supported: turn it off",
        "RequestTimeTooSkewed": _CLOCK,
        "NotImplemented": _GS_CONDITION,
    },
)

_AZ_KEYS = (
    "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN), "
    "and this machine's clock"
)
_AZ_RIGHTS = (
    "the identity needs the role Storage Blob Data Contributor on the container: to list, read, "
    "create and delete its blobs"
)
_AZ_CONTAINER = "create the container or correct --data"
_AZ_ACCOUNT = "check the account's name: --az-account or AZURE_STORAGE_ACCOUNT_NAME"
_AZ_CONDITION = (
    "the store has to support conditional writes (PUT with If-None-Match: *), which keep two "
    "writers out of one log"
)
_AZ = Remedies(
    no_keys=(
        "no credentials found: set AZURE_STORAGE_ACCOUNT_KEY, or AZURE_CLIENT_ID, "
        "AZURE_CLIENT_SECRET and AZURE_TENANT_ID, or give this machine a managed identity"
    ),
    keys=_AZ_KEYS,
    rights=_AZ_RIGHTS,
    elsewhere=_AZ_ACCOUNT,
    condition=_AZ_CONDITION,
    codes={
        "ContainerNotFound": _AZ_CONTAINER,
        "InvalidResourceName": "correct the container's name in --data",
        "OutOfRangeInput": "correct the container's name in --data",
        "InvalidUri": _AZ_ACCOUNT,
        "AuthenticationFailed": _AZ_KEYS,
        "InvalidAuthenticationInfo": _AZ_KEYS,
        "NoAuthenticationInformation": _AZ_KEYS,
        "KeyBasedAuthenticationNotPermitted": (
            "the account takes no keys: give this machine an identity, "
            "and leave AZURE_STORAGE_ACCOUNT_KEY unset"
        ),
        "AuthorizationFailure": (
            f"{_AZ_KEYS}; the account's firewall has to let this machine in, and a SAS token needs "
            "the permissions read, create, delete and list"
        ),
        "AuthorizationPermissionMismatch": (
            f"{_AZ_RIGHTS}; a SAS token needs the permissions read, create, delete and list"
        ),
        "AccountIsDisabled": "the storage account is disabled",
        "ConditionHeadersNotSupported": _AZ_CONDITION,
        "NotImplemented": _AZ_CONDITION,
    },
)

REMEDIES: Mapping[str, Remedies] = {"s3": _S3, "gs": _GS, "az": _AZ}
"""By the scheme of a location."""
