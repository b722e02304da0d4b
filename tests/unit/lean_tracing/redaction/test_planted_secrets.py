"""No secret survives redaction, wherever it is planted in generated text."""

import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lean_tracing.redaction import Redactor

REDACTOR = Redactor("a key for tests")

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=8, max_size=24)
# Never a word that stands for something else in the pattern it is planted into.
SECRET = WORD.map(lambda word: f"Zq{word}9")
DOMAIN = st.tuples(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20), st.sampled_from(["com", "io", "co.uk"])
).map(".".join)
EMAIL = st.one_of(
    st.emails(),
    st.tuples(st.text("abcxyzABC019._+'-", min_size=1, max_size=30).map(lambda local: f"u{local}v"), DOMAIN).map(
        "@".join
    ),
)
JWT = st.tuples(SECRET, SECRET).map(
    lambda parts: ".".join(
        (
            base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("="),
            base64.urlsafe_b64encode(json.dumps({"sub": parts[0]}).encode()).decode().rstrip("="),
            parts[1],
        )
    )
)


def _with_check_digit(prefix: str) -> str:
    return next(prefix + str(digit) for digit in range(10) if _luhn(prefix + str(digit)) == 0)


def _luhn(number: str) -> int:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(
        st.sampled_from(
            [("4", 16), ("51", 16), ("2345", 16), ("34", 15), ("37", 15), ("6011", 16), ("4", 13), ("36", 14)]
        )
    )
    free = length - len(prefix) - 1
    number = _with_check_digit(prefix + draw(st.text("0123456789", min_size=free, max_size=free)))
    separator = draw(st.sampled_from(["", " ", "-"]))
    if len(number) == 16:
        return separator.join(number[start : start + 4] for start in range(0, 16, 4))
    if len(number) == 15:
        return separator.join((number[:4], number[4:10], number[10:]))
    return number


# (text, what must not be left of it)
Planted = tuple[str, str]
PLANTED: st.SearchStrategy[Planted] = st.one_of(
    EMAIL.map(lambda email: (email, email)),
    JWT.map(lambda jwt: (jwt, jwt.split(".")[1])),
    cards().map(lambda card: (card, card)),
    st.tuples(st.sampled_from(["Bearer ", "bearer ", "Authorization: Bearer ", "BEARER  "]), SECRET).map(
        lambda made: (made[0] + made[1], made[1])
    ),
    SECRET.map(lambda word: (f"Basic {(code := base64.b64encode(f'u:{word}'.encode()).decode())}", code)),
    st.tuples(st.sampled_from(["https", "postgresql+psycopg", "amqp", "redis"]), SECRET, DOMAIN).map(
        lambda made: (f"{made[0]}://user:{made[1]}@{made[2]}:5432/path", made[1])
    ),
    st.tuples(st.sampled_from(["token", "api_key", "X-Amz-Signature-Token", "password", "code", "sig"]), SECRET).map(
        lambda made: (f"https://site.example/p?a=1&{made[0]}={made[1]}&b=2", made[1])
    ),
    st.tuples(
        st.sampled_from(
            ["password", "PGPASSWORD", "client-secret", "accessToken", "bearer", "db.passwd", "Pwd", "api_key"]
        ),
        st.sampled_from(["=", ": ", " = ", "='", '": "', '="', " => ", "%3D", ":b'"]),
        SECRET,
    ).map(lambda made: ("".join(made), made[2])),
    SECRET.map(lambda word: (f"-----BEGIN EC PRIVATE KEY-----\n{word}\n-----END EC PRIVATE KEY-----", word)),
)
# Anything may surround a secret, apart from a letter or a digit, which would change its word.
AROUND = st.text(max_size=40)
BLANK = st.sampled_from([" ", " 2027 ", "4000 ", "\n", '"', "(", "<", "; ", " '"])


@given(AROUND, BLANK, PLANTED, st.sampled_from([" ", "\n", ", ", '"', "; ", ""]), AROUND)
def test_a_planted_secret_never_survives_in_text(
    prefix: str, blank: str, planted: Planted, end: str, suffix: str
) -> None:
    text, secret = planted
    redacted = REDACTOR.text(f"{prefix}{blank}{text}{end or ' '}{suffix}")
    assert secret not in redacted or secret in f"{prefix} {suffix}"
    assert REDACTOR.text(redacted) == redacted


NAMES = st.one_of(st.text(max_size=12), st.sampled_from(["user", "task.result", "user_email", "api_key", "http.url"]))


@given(
    st.recursive(
        st.one_of(
            PLANTED, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.binary(max_size=9)
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(lambda items: {"list": items}),
            st.dictionaries(NAMES, inner, max_size=4),
        ),
        max_leaves=12,
    ),
    NAMES,
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_planted_secret_never_survives_in_structures(value: Any, name: str) -> None:
    secrets: list[str] = []

    def unwrapped(node: Any) -> Any:
        if isinstance(node, tuple):
            secrets.append(node[1])
            return node[0].encode() if len(secrets) % 3 == 0 else node[0]
        if isinstance(node, dict):
            return {key: unwrapped(item) for key, item in node.items()}
        return [unwrapped(item) for item in node] if isinstance(node, list) else node

    redacted = REDACTOR.named(name, unwrapped(value))
    shown = json.dumps(redacted, ensure_ascii=False, allow_nan=False)
    for secret in secrets:
        assert secret not in shown
    assert REDACTOR.named(name, redacted) == redacted


@given(SECRET, SECRET, SECRET, SECRET, DOMAIN)
def test_urls_show_no_credentials_query_or_fragment(user: str, password: str, query: str, tail: str, host: str) -> None:
    for url in (
        f"https://{user}:{password}@{host}:81/path?q={query}#{tail}",
        f"//{user}:{password}@{host}/path?{query}#{tail}",
        f"{user}:{password}@{host}/path?a&{query}",
    ):
        redacted = REDACTOR.url(url)
        for secret in (user, password, query, tail):
            assert secret not in redacted
            assert secret.lower() not in redacted
        assert f"{host}" in redacted
        assert "/path?[redacted]" in redacted
        assert REDACTOR.url(redacted) == redacted


@given(st.text(max_size=80))
def test_any_url_is_redacted_without_an_error_and_only_once(url: str) -> None:
    redacted = REDACTOR.url(url)
    assert REDACTOR.url(redacted) == redacted


@given(st.text("ab:=@./?&'\"\\ ;<%3D4-[]{}(),\ntokenpasswordBearer", max_size=120))
def test_redaction_what_is_redacted_changes_nothing(text: str) -> None:
    redacted = REDACTOR.text(text)
    assert REDACTOR.text(redacted) == redacted
