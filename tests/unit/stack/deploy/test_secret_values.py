"""Values of secrets that no server would accept."""

import pytest

from contracts import secret_keys
from stack.deploy.secret_values import problem_of


@pytest.mark.parametrize("key", secret_keys.ALL)
def test_what_a_deployment_generates_and_a_reference_are_accepted(key: str) -> None:
    assert problem_of(key, "Ab3-_dEf6hIj9lMn") is None
    assert problem_of(key, f"${{{key}}}") is None


@pytest.mark.parametrize("value", ["a\nb", "a ", "a\r\n", "a\x00"])
def test_a_line_break_belongs_to_files_alone(value: str) -> None:
    assert problem_of(secret_keys.OTLP_TOKEN, value)
    assert problem_of(secret_keys.OBJECT_STORAGE_SERVICE_ACCOUNT, value) is None


def test_only_passwords_that_are_no_header_may_have_other_letters() -> None:
    assert problem_of(secret_keys.POSTGRES_EXTERNAL_PASSWORD, 'größe "\\') is None
    assert problem_of(secret_keys.LOGS_QUERY_AUTHORIZATION, "größe")


@pytest.mark.parametrize("value", ["0451", "changeme", "a" * 15, "${not-a-reference"])
def test_a_seed_that_is_easily_guessed_is_refused(value: str) -> None:
    problem = problem_of(secret_keys.AUTHORITY_SEED, value)
    assert problem
    assert "at least 16 random characters" in problem
    assert value not in problem
