"""Each row of the table of shapes finds its example and leaves the similar text alone, for each user of the table."""

import re
import re._parser as re_parser  # type: ignore[import-not-found]

import pytest

from lean_tracing.redaction import Redactor
from lean_tracing.redaction.configuration import has_secret_in_clear
from lean_tracing.redaction.edits import Context, Seam
from lean_tracing.redaction.keys import KeyRules
from lean_tracing.redaction.shapes import SHAPES, Shape
from lean_tracing.redaction.tokens import COLLECTOR, MIN_TOKEN, TOKENS, Token

REDACTOR = Redactor("a key for tests")
CONTEXT = Context(KeyRules(), REDACTOR.hash)


def split_example(shape: Shape) -> tuple[str, str, str]:
    """What is before the secret of the row's example, the secret, and what is after it."""
    prefix, _, rest = shape.hit.partition("«")
    secret, _, suffix = rest.partition("»")
    assert secret
    return prefix, secret, suffix


def rows(user: str) -> pytest.MarkDecorator:
    """One test a row that this user of the table has something in."""
    chosen = [shape for shape in SHAPES if getattr(shape, user)]
    assert chosen
    return pytest.mark.parametrize("shape", chosen, ids=lambda shape: shape.name)


@rows("hide")
def test_the_redactor_hides_the_secret_alone(shape: Shape) -> None:
    prefix, secret, suffix = split_example(shape)
    text = prefix + secret + suffix
    redacted = REDACTOR.text(text)
    assert secret not in redacted
    assert redacted != text
    if shape.name == "private key":  # hidden together with its first and last line
        assert redacted == "[redacted]"
    else:
        assert redacted.startswith(prefix)
        assert redacted.endswith(suffix)
    assert REDACTOR.text(redacted) == redacted


@rows("hide")
def test_a_row_hides_its_example_without_the_other_rows(shape: Shape) -> None:
    prefix, secret, suffix = split_example(shape)
    text = prefix + secret + suffix
    assert shape.hide is not None
    assert any(hint in text.lower() for hint in shape.hints) or not shape.hints
    assert secret not in shape.hide(text, CONTEXT, None)
    assert shape.hide(text, CONTEXT, Seam(len(text))) == shape.hide(text, CONTEXT, None)


@rows("hide")
def test_the_redactor_leaves_the_similar_text(shape: Shape) -> None:
    assert REDACTOR.text(shape.miss) == shape.miss


@rows("collector")
def test_the_collectors_expressions_find_the_secret(shape: Shape) -> None:
    text = "".join(split_example(shape))
    assert any(re.search(expression, text) for expression in shape.collector)
    assert not any(re.search(expression, shape.miss) for expression in shape.collector)


@rows("collector")
def test_the_collectors_expressions_run_in_go_and_inside_of_quotes(shape: Shape) -> None:
    for expression in shape.collector:
        assert not re.search(r"\\|\(\?[=!<]|[+*?}]\+|'|\"", expression)


@rows("manifest")
def test_a_manifest_with_the_secret_is_recognised(shape: Shape) -> None:
    text = "".join(split_example(shape))
    assert re.search(shape.manifest, text)
    assert has_secret_in_clear(text)
    assert has_secret_in_clear(text, in_settings=True)
    assert not has_secret_in_clear(shape.miss)


@rows("setting")
def test_a_setting_with_the_secret_is_recognised(shape: Shape) -> None:
    text = "".join(split_example(shape))
    assert re.search(shape.setting, text, re.VERBOSE)
    assert has_secret_in_clear(text, in_settings=True)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_similar_text_may_be_a_setting(shape: Shape) -> None:
    assert not has_secret_in_clear(shape.miss, in_settings=True)


def test_names_are_unique_and_each_row_has_a_user() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)
    assert all(shape.hide or shape.collector or shape.manifest or shape.setting for shape in SHAPES)


tokens = pytest.mark.parametrize("token", TOKENS, ids=lambda token: token.name)


@tokens
def test_a_token_is_found_by_both_programs_and_in_encoded_text(token: Token) -> None:
    _, rest = token.hit.split("«")
    secret, _ = rest.split("»")
    assert re.search(COLLECTOR, token.hit.replace("«", "").replace("»", ""))
    assert not re.search(COLLECTOR, token.miss)
    for start in ("", " ", "/", "id%3D", "=", "\n", "_"):
        assert secret not in REDACTOR.text(f"{start}{secret}")
        assert re.search(COLLECTOR, f"{start}{secret}")


@tokens
def test_a_shorter_text_holds_no_token_and_needs_no_search(token: Token) -> None:
    shortest, _ = re_parser.parse(token.expression).getwidth()
    assert shortest >= MIN_TOKEN


@tokens
def test_the_expression_of_a_token_runs_in_go_and_inside_of_quotes(token: Token) -> None:
    assert not re.search(r"\\|\(\?[=!<]|[+*?}]\+|'|\"| |#", token.expression)


def test_a_token_inside_of_a_word_is_none() -> None:
    assert REDACTOR.text("task-manager-of-the-stack-of-ours") == "task-manager-of-the-stack-of-ours"
    assert not re.search(COLLECTOR, "task-manager-of-the-stack-of-ours")
