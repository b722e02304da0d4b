"""What pip-audit reports, and that a package which it leaves out is no good news."""

import json

import pytest

from checks.supply_chain.command import vulnerabilities
from stack.polling import CheckFailure

GOOD = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD = {"name": "jinja2", "version": "3.1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.6"]}]}


def output(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_vulnerability_is_named_with_the_version_that_mends_it() -> None:
    assert vulnerabilities(output(GOOD, BAD)) == ["jinja2 3.1.0: PYSEC-1, mended in 3.1.6"]
    assert vulnerabilities(output(GOOD)) == []


def test_a_package_that_was_not_audited_fails_the_check() -> None:
    with pytest.raises(CheckFailure, match="1 of 2 packages could not be audited: not on PyPI"):
        vulnerabilities(output(GOOD, {"name": "other", "skip_reason": "not on PyPI"}))
