"""What is planted is recognised, whole and cut, and each secret is one that the library hides."""

import pytest

from checks.security.marks import SECRETS, Marks
from checks.security.texts import planted_texts
from lean_tracing.redaction import Redactor


def test_marks_are_recognised_whole_cut_and_in_lower_case() -> None:
    marks = Marks(1)
    first, second = marks.mark("password", "header"), marks.mark("token", "path")
    assert marks.count == 2
    assert len(first) == len(second) == 20
    content = f"a{first}b {second[:10]} {second.lower()} {first[:7]} nothing"
    assert list(marks.left_in(content.encode())) == [
        ("password", "header"),
        ("token", "path"),
        ("token", "path"),
        ("a part of a secret", "unknown place"),
    ]
    assert first != Marks(2).mark("password", "header")


@pytest.mark.parametrize("what", SECRETS)
def test_each_secret_is_hidden(what: str) -> None:
    marks = Marks(1)
    secret = SECRETS[what](marks.mark(what, "text"))
    assert list(marks.left_in(secret.encode()))
    assert not list(marks.left_in(Redactor("a key for tests").text(f"/a/{secret} b").encode()))


def test_nothing_that_a_service_records_shows_a_planted_secret() -> None:
    outcome = planted_texts(10_000, seed=1)
    assert outcome.count >= 10_000
    assert not outcome.successes
