"""Every store has a remedy for every kind of refusal, and speaks of its own settings alone."""

from __future__ import annotations

import re

import pytest

from wal_core.config import CLOUD_SCHEMES
from wal_core.stores.objects.cloud_remedies import REMEDIES

VARIABLES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


def test_every_scheme_has_them():
    assert set(REMEDIES) == set(CLOUD_SCHEMES)


@pytest.mark.parametrize("scheme", CLOUD_SCHEMES)
def test_each_speaks_of_its_own_variables_and_flags(scheme):
    remedies = REMEDIES[scheme]
    texts = [*remedies[:-1], *remedies.codes.values()]
    named = {name for text in texts for name in re.findall(r"[A-Z]+_(?=[A-Z])", text)}
    assert {name for name in named if name in VARIABLES.values()} == {VARIABLES[scheme]}
    flags = {flag for text in texts for flag in re.findall(r"--[a-z0-9-]+", text)}
    assert all(flag == "--data" or flag.startswith(f"--{scheme}-") for flag in flags)


def test_the_code_says_more_than_the_status():
    remedies = REMEDIES["s3"]
    assert remedies.of(403, "AccessDenied") == remedies.rights
    assert remedies.of(403, "InvalidAccessKeyId") == remedies.keys
    assert remedies.of(401, "") == remedies.keys
    assert remedies.of(501, "") == remedies.condition
    assert remedies.of(400, "Unheard") is None
