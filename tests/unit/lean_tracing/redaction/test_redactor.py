"""Redaction hides every secret, and nothing that an on-call engineer needs."""

import importlib
import json
import math
import pkgutil
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from http import HTTPStatus
from re import RegexFlag
from typing import Any

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as semantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lean_tracing import attributes
from lean_tracing.redaction import CUT, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, REDACTED, Redactor, names, snapshot
from tests.support import cost
from tests.support.cost import assert_linear
from tests.support.redaction import NAMES, SIGNED_URLS

REDACTOR = Redactor("a key for tests")
ADA = "ada@example.com"
ADA_HASHED = f"email:{REDACTOR.hash(ADA)}"

# --- what each kind becomes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"no mailbox {ADA}!", f"no mailbox {ADA_HASHED}!"),
        (f"'{ADA}'", f"'{ADA_HASHED}'"),
        ("mail=Ada%40Example.com&x=1", f"mail={ADA_HASHED}&x=1"),
        (f"GET /things/{ADA}", f"GET /things/{ADA_HASHED}"),
        ("postgresql://u:pa/ss@db:5432/x", "postgresql://[redacted]@db:5432/x"),
        ("Authorization: Bearer abc, and the rest\nnext", "Authorization: [redacted]\nnext"),
        ("Set-Cookie: a=b; c=d", "Set-Cookie: [redacted]"),
        ("token: Bearer abcdef then", "token: [redacted] then"),
        ("got 'bearer abcdef'", "got 'bearer [redacted]'"),
        ('{"password": "a\\"b", "user": "ada"}', '{"password": "[redacted]", "user": "ada"}'),
        ("{'api-key': 'it\\'s', 'n': 1}", "{'api-key': '[redacted]', 'n': 1}"),
        ('{\\"token\\": \\"abc\\", \\"n\\": 1}', '{\\"token\\": \\"[redacted]\\", \\"n\\": 1}'),
        ("host=db password='a b' dbname=x", "host=db password='[redacted]' dbname=x"),
        ("Server=db;Pwd=abc;Database=x", "Server=db;Pwd=[redacted];Database=x"),
        ("f(password=SecretStr('a b'), n=1)", "f(password=[redacted], n=1)"),
        ("psql --password hunter2 -h db", "psql --password [redacted] -h db"),
        (
            "[(b'authorization', b'Basic abc'), (b'accept', b'*')]",
            "[(b'authorization', [redacted]), (b'accept', b'*')]",
        ),
        ("GET /cb?code=abc&state=1", "GET /cb?code=[redacted]&state=1"),
        ("paid with 4111 1111 1111 1111 today", "paid with [redacted] today"),
        ("until 2027 4111 1111 1111 1111 123", "until 2027 [redacted] 123"),
        ("4000 4111-1111-1111-1111", "4000 [redacted]"),
        (f"{ADA}.5 or {ADA}@1.2", f"email:{REDACTOR.hash(f'{ADA}.5')} or email:{REDACTOR.hash(f'{ADA}@1.2')}"),
        ("<password>hunter2</password>", "<password>[redacted]</password>"),
        ("user[password]=a&password[]=b&c=d", "user[password]=[redacted]&password[]=[redacted]&c=d"),
        ("paid with 378282246310005.", "paid with [redacted]."),
        ("id_eyJhbGciOiJub25lIn0.e30.x", "id_[redacted]"),
        ('{"token": {"a": "hunter2"}, "n": 1}', '{"token": [redacted], "n": 1}'),
        ('{"password": ["x1secret", "x2secret"]}', '{"password": [redacted]}'),
        ("{'password': {'old': 'x1secret', 'new': ['x2secret', {}]}} left", "{'password': [redacted]} left"),
        ("passwords=[x1secret, x2secret] left", "passwords=[redacted] left"),
        ("passwords=[x1}secret, x2secret, it's] left", "passwords=[redacted] left"),
        ("{'x-api-key': ['x1]secret','x2secret'], 'n': 1}", "{'x-api-key': [redacted], 'n': 1}"),
        ("f(tokens=frozenset({'x1secret', 'x2secret'}), n=1)", "f(tokens=[redacted], n=1)"),
        ('{\\"token\\": [\\"x1secret\\", \\"x2secret\\"], \\"n\\": 1}', '{\\"token\\": [redacted], \\"n\\": 1}'),
        ('{"cookie": {\n  "a": "x1secret"\n}}', '{"cookie": [redacted]}'),
        ('{"token": {"a": "x1secret", "b', '{"token": [redacted]'),
        ("token=<hunter2> left", "token=[redacted] left"),
        ('<password type="a">x1secret x2secret</password>', '<password type="a">[redacted]</password>'),
        ("<a:token><v>x1secret</v></a:token> left", "<a:token>[redacted]</a:token> left"),
        ('("password", "hunter2")', '("password", "[redacted]")'),
        ("[('x-api-key', 'x1secret'), ('n', '1')]", "[('x-api-key', '[redacted]'), ('n', '1')]"),
        ("[('x-api-key', ['x1secret', 'x2secret']), ('n', '1')]", "[('x-api-key', [redacted]), ('n', '1')]"),
        ('[["x-api-key","x1secret"],["n","1"]]', '[["x-api-key","[redacted]"],["n","1"]]'),
        ("password%22%3A%22x1secret", "password%22%3A[redacted]"),
        ("GET /a?q=%257B%2522token%2522%253A%2522x1secret&b=1", "GET /a?q=%257B%2522token%2522%253A[redacted]&b=1"),
    ],
)
def test_secrets_in_text(text: str, redacted: str) -> None:
    assert REDACTOR.text(text) == redacted


SECRET_NAMES = NAMES["secret"] + NAMES["typed"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secret_names_hide_text(name: str) -> None:
    structures: tuple[Any, ...] = (["hunter2"], [1, "hunter2"], {"a": "hunter2"}, {"a": [b"x"]})
    values: tuple[Any, ...] = ("hunter2", "4711", "true", b"hunter2", *structures)
    for value in values:
        assert REDACTOR.named(name, value) == REDACTED
    assert REDACTOR.named("outer", {"x": [{name: "hunter2"}]}) == {"x": [{name: REDACTED}]}
    assert "hunter2" not in REDACTOR.text(f"failed with {name}=hunter2")
    # That there is none is worth knowing, and no secret.
    nothing: tuple[Any, ...] = (None, "", b"", [])
    assert [REDACTOR.named(name, value) for value in nothing] == [None, "", "", []]


@pytest.mark.parametrize("name", [name for examples in NAMES.values() for name in examples])
def test_numbers_and_booleans_stay_but_where_the_secret_is_typed_in_digits(name: str) -> None:
    assert [REDACTOR.named(name, value) for value in (True, False)] == [True, False]
    assert REDACTOR.named(name, [True, False]) == [True, False]
    numbers: tuple[Any, ...] = (0, 4711, -1, 0.5, 2**40, [1, 2], {"a": 1, "b": [2.5, None]})
    for value in numbers:
        shown = REDACTOR.named(name, value)
        if name in NAMES["typed"]:
            assert shown == REDACTED
        else:
            assert (shown, type(shown)) == (value, type(value))


@pytest.mark.parametrize("name", NAMES["harmless"])
def test_harmless_names_show_their_values(name: str) -> None:
    assert REDACTOR.named(name, "0b9c") == "0b9c"
    assert REDACTOR.text(f"{name}=0b9c, {name}: 17") == f"{name}=0b9c, {name}: 17"
    assert REDACTOR.named(name, f"for {ADA}") == f"for {ADA_HASHED}", "their text is searched all the same"


@pytest.mark.parametrize("name", NAMES["email"])
def test_email_names_hash_any_value(name: str) -> None:
    assert REDACTOR.named(name, " Ada@Example.com") == ADA_HASHED
    assert REDACTOR.named(name, [ADA, {"to": ADA}]) == [ADA_HASHED, {"to": ADA_HASHED}]
    assert REDACTOR.named(name, "not an address") != "not an address"
    assert REDACTOR.named(name, ADA_HASHED) == ADA_HASHED


def test_a_name_is_that_of_its_whole_path() -> None:
    nested = {"key": "hunter2", "version": "v2", "more": [{"key": "hunter2"}, {"api": {"key": "hunter2"}}]}
    assert REDACTOR.named("api", nested) == {
        "key": REDACTED,
        "version": "v2",
        "more": [{"key": "hunter2"}, {"api": {"key": REDACTED}}],
    }
    assert REDACTOR.named("password" + ".x" * 100, "hunter2") == REDACTED, "however long it is"


class Grade(IntEnum):
    GOOD = 7


class Mode(StrEnum):
    FAST = "fast"
    ADDRESS = "ada@example.com"


class Share(float, Enum):
    HALF = 0.5


@pytest.mark.parametrize("number", [HTTPStatus.OK, Grade.GOOD, RegexFlag.IGNORECASE, Share.HALF])
def test_numbers_with_names_are_numbers(number: Any) -> None:
    plain = float(number) if isinstance(number, float) else int(number)
    for name in ("v", "token_count", "api_token"):
        shown = REDACTOR.named(name, snapshot(number, 100))
        assert (shown, type(shown)) == (plain, type(plain))
        assert REDACTOR.named(name, snapshot([number], 100)) == [plain]
    assert REDACTOR.named("pin", number) == REDACTED
    assert REDACTOR.named("card", 4111111111111111) == REDACTED


def test_words_with_names_are_their_text() -> None:
    assert REDACTOR.named("mode", snapshot(Mode.FAST, 100)) == "fast"
    assert REDACTOR.named("mode", snapshot(Mode.ADDRESS, 100)) == ADA_HASHED
    assert REDACTOR.named("token", snapshot(Mode.FAST, 100)) == REDACTED


@pytest.mark.parametrize("number", [Decimal("12.5"), Fraction(1, 4), 3 + 4j])
def test_other_numbers_are_numbers(number: Any) -> None:
    assert REDACTOR.named("price", number) == str(number)
    assert REDACTOR.named("password", number) == REDACTED


def test_every_name_of_the_conventions_is_shown_apart_from_those_that_mean_a_person_or_a_session() -> None:
    modules = (
        importlib.import_module(f"{package.__name__}.{module_info.name}")
        for package in (semantic, incubating)
        for module_info in pkgutil.iter_modules(package.__path__)
    )
    keys = {
        value for module in modules for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
    }
    assert len(keys) > 800
    hidden = {key for key in keys if REDACTOR.named(key, "harmless") != "harmless"}
    # The last one is deprecated, and holds the password where an instrumentation does not remove it.
    assert hidden == {
        "session.id", "session.previous_id", "mcp.session.id", "user.email", "db.connection_string",
    }  # fmt: skip


def test_the_hints_miss_no_secret_name() -> None:
    for name in (*SECRET_NAMES, "code", "key", "sig", "signature", "ticket"):
        assert any(hint in name.lower() for hint in names.HINTS), name


@pytest.mark.parametrize("url", SIGNED_URLS)
def test_signatures_of_urls_are_hidden_wherever_the_url_stands(url: str) -> None:
    for text in (url, f"GET {url} failed", f"'{url}'"):
        assert "PLANTED" not in REDACTOR.text(text)
    assert "PLANTED" not in REDACTOR.url(url)
    assert REDACTOR.text("a signature=0b9c and design=1") == "a signature=0b9c and design=1"


def test_a_private_key_in_a_large_structure_is_hidden_wherever_it_is_cut() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "PLANTED+" * 200 + "\n-----END PRIVATE KEY-----"
    for length in (0, 10, 600, 3_000, MAX_TEXT):
        value = {"data": "x" * length, "private_key": key, "note": f"{'y' * length} {key}"}
        for limit in (1, 50, 512, 1_024, 4_096, None):
            assert "PLANTED" not in json.dumps(REDACTOR.named("locals", value, limit))
            assert "PLANTED" not in REDACTOR.text(str(value), limit)


@pytest.mark.parametrize(
    "text",
    [
        '{"password_reset_required": true, "token": true, "session": False} max_tokens=4096 (token=false)',
        '{"max_tokens": {"limit": 5}, "session": {"count": 5, "on": true, "of": [1.5, -2e3, null]}, "token": []}',
        'missing columns: ["id", "password", "created"]',
        "missing columns: ('id', 'password', 'created')",
        "usage: login <user> <password> [options]",
    ],
)
def test_numbers_booleans_and_lists_of_names_stay_in_text(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_a_number_that_is_itself_a_secret_is_hidden_in_brackets() -> None:
    assert (
        REDACTOR.text('{"session": {"pin": 1234}}, password=[1234]') == '{"session": [redacted]}, password=[redacted]'
    )


@pytest.mark.parametrize(
    "part",
    [
        "token=[", "token={'a': [", 'token=["', "token=a(", "<token>", "<token a", "('token', '", "['token','a' ",
        'token=\\"[', '"token": {', "token=[5] ", "token=[a'b", "://a:", "a", "%", "token%25",
    ],
)  # fmt: skip
def test_text_made_to_be_slow_is_not(part: str) -> None:
    text = part * (MAX_TEXT // len(part))
    for whole in (text, "token=[" + text, f"{text}\\" * 2, "token=[" + "\\" * MAX_TEXT):
        began = time.thread_time()
        REDACTOR.text(whole)
        assert time.thread_time() - began < 1, "a square of the length would take ten"


def test_hashes_agree_only_with_the_same_key() -> None:
    assert Redactor("key one").hash(" Ada@example.com") == Redactor("key one").hash(ADA)
    assert Redactor("key one").hash(ADA) != Redactor("key two").hash(ADA)
    assert Redactor().hash(ADA) != Redactor().hash(ADA)


# --- what must stay ---------------------------------------------------------------------------------------------------

SQL = "UPDATE users SET password = :password, token = %(token_1)s, secret = ? WHERE id = $1 AND key = %s::UUID"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET",
        "/api/tasks/{id}",
        "process task-status",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000004000000000000002-4111111111111111-01",
        "2026-01-02T03:04:05.123456+00:00",
        "2026-01-02 03:04:05 2026-01-02 03:04:06",
        "1767323045123",
        "1767323045123456789",
        "v1.32.4+k3s1",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "image@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "package@1.2.3",
        SQL,
        "INSERT INTO web_crawl_tasks (id, user_email) VALUES (%(id)s::UUID, :user_email)",
        "message task-status/3/9223372036854775807 again in 0.1 s: Kafka is unavailable (_TRANSPORT)",
        "The database is unavailable (OperationalError: FATAL: sorry, too many clients already)",
        'The database is unavailable (OperationalError: FATAL: password authentication failed for user "tasks")',
        "http://site.example:81/page/7?limit=10&offset=20&status=new",
        "0.4111111111111111",
        "4111 1111 1111 1112",
        "Basic authentication failed, bearer token missing",
        "a basic plan",
        "expected a token, got token=None",
        "dc=eu-west-1,pod=task-manager-7d9f8b-x2x4z,node=10.0.0.1:9092",
        'File "/srv/service/task_manager/postgres.py", line 112, in add\n    return self._run(statement)',
    ],
)
def test_what_on_call_needs_stays(text: str) -> None:
    assert REDACTOR.text(text) == text
    assert REDACTOR.named("db.query.text", text) == text


@given(
    st.one_of(
        st.uuids().map(str),
        st.uuids().map(lambda made: made.hex),
        st.integers(1, 2**128 - 1).map(lambda trace: f"00-{trace:032x}-{trace % 2**64:016x}-01"),
        st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
            lambda moment: moment.replace(tzinfo=UTC).isoformat()
        ),
        st.binary(min_size=20, max_size=64).map(lambda digest: f"sha256:{digest.hex()}"),
        st.floats(-1e9, 1e9).map(str),
        st.integers(-(10**12) + 1, 10**12 - 1).map(str),
        st.tuples(*[st.integers(0, 99)] * 3).map(lambda version: "v{}.{}.{}".format(*version)),
    ),
    st.sampled_from(["{}", "task {} done", '{{"id": "{}"}}', "/api/tasks/{}", "at={}&x=1"]),
)
def test_ids_times_and_numbers_stay(value: str, around: str) -> None:
    text = around.format(value)
    assert REDACTOR.text(text) == text


@given(
    st.one_of(st.integers(-(10**12) + 1, 10**12 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
)
def test_ordinary_numbers_stay_numbers(value: float) -> None:
    if isinstance(value, float) and abs(value) >= 1e12:
        return
    redacted = REDACTOR.named("messaging.kafka.offset", value)
    assert redacted == value
    assert type(redacted) is type(value)


# --- failing closed, limits -------------------------------------------------------------------------------------------


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("hunter2")


class Colour(StrEnum):
    RED = "red"


def test_objects_become_what_otlp_and_json_can_carry() -> None:
    made = uuid.UUID(int=7)
    assert REDACTOR.named("a", {"id": made, 7: {ADA}, "e": ValueError(f"for {ADA}"), "c": Colour.RED}) == {
        "id": str(made), "7": [ADA_HASHED], "e": f"for {ADA_HASHED}", "c": "red",
    }  # fmt: skip
    assert REDACTOR.named("a", b"\xff token=abc") == "\ufffd token=[redacted]"
    assert REDACTOR.named("a", {ADA: 1}) == {ADA_HASHED: 1}
    assert REDACTOR.named("a", math.nan) == "nan"
    assert REDACTOR.named("a", 2**70) == str(2**70)
    assert REDACTOR.named("a", 4111111111111111) == REDACTED
    assert REDACTOR.text("half a pair \ud800") == "half a pair ?"


def test_what_cannot_be_redacted_is_hidden() -> None:
    assert REDACTOR.named("a", Unprintable()) == REDACTED
    assert REDACTOR.text(Unprintable()) == REDACTED  # type: ignore[arg-type]
    assert REDACTOR.named("a", ["fine", Unprintable()]) == REDACTED
    assert REDACTOR.url("http://[::1") == REDACTED


def test_cycles_depth_and_size_are_bounded() -> None:
    cycle: list[object] = [ADA]
    cycle.append(cycle)
    shown = json.dumps(REDACTOR.named("a", cycle), ensure_ascii=False)
    assert CUT in shown
    assert ADA not in shown

    deep: object = ADA
    for _ in range(100_000):
        deep = [deep]
    depth = 0
    redacted = REDACTOR.named("a", deep)
    while isinstance(redacted, list):
        (redacted,) = redacted
        depth += 1
    assert (depth, redacted) == (MAX_DEPTH, CUT)

    wide = REDACTOR.named("a", {"x": list(range(5 * MAX_ITEMS)), "y": {str(n): n for n in range(MAX_ITEMS)}})
    assert isinstance(wide, dict)
    assert len(wide["x"]) <= MAX_ITEMS
    assert wide["x"][-1] == CUT
    assert REDACTOR.named("a", wide) == wide


@pytest.mark.parametrize("secret", [ADA, "4111 1111 1111 1111", "password=hunter2hunter2", "eyJhbGciOiJub25lIn0.abc"])
@pytest.mark.parametrize("shift", range(0, 24, 3))
def test_a_long_text_is_cut_with_a_mark_and_holds_no_half_secret(secret: str, shift: int) -> None:
    text = "x" * (MAX_TEXT - shift - 1) + " " + secret + " y" * MAX_TEXT
    redacted = REDACTOR.text(text)
    assert len(redacted) <= MAX_TEXT
    assert redacted.endswith(CUT)
    assert set(redacted.removesuffix(CUT)) == {"x"}
    assert REDACTOR.text(redacted) == redacted
    assert len(REDACTOR.text(f"{ADA} " * (MAX_TEXT // 16))) <= MAX_TEXT


# Each is the worst that its pattern can be given.
HOSTILE = [
    "a", "@", "a@", "a.", "a@b.", "a@b.cc@", "://", "://a:", "://a:b", 'password="', "password='\\", "=", "a=", "a =",
    "-", "--a ", "eyJ", "eyJa.", "4", "4111 ", "4111-111111-", "Bearer ", "basic a ", "-----BEGIN PRIVATE KEY", "\\",
    '\\"', 'token\\"=\\"', "token=&", "token=;a ", "token=<", "a ", "%40", "a%40b", '"', '"a', "token=b(", "', b'",
    "key\n", "é@",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_costs_linear_time(unit: str) -> None:
    assert MAX_TEXT >= cost.LONG
    assert_linear(REDACTOR._redact, lambda length: "key=" + (unit * length)[:length], most_seconds=0.5)


@pytest.mark.parametrize(
    "unit",
    ["a", "a_", "count.1", ".1", "max_new_", "max_number_of_", "tokens_per_", "num_", "e_mai", "api_", "secreta",
     "tokeni", "session", "aPwd", "_pw", "A", "first_", "card_no"],
)  # fmt: skip
def test_a_hostile_name_costs_linear_time(unit: str) -> None:
    def redact(name: str) -> None:
        REDACTOR.named(name, "x")
        REDACTOR.text(f"{name}=x")

    assert_linear(redact, lambda length: (unit * length)[:length], most_seconds=0.5)


def test_caches_are_bounded_and_hold_nothing_secret() -> None:
    redactor = Redactor("a key for tests")
    for number in range(5_000):
        redactor.text(f"a = {number}")
        redactor.named(f"name {number}", "x")
        redactor.text(f"user-{number}@example.com")
    assert len(redactor._harmless) <= 1_024
    assert len(redactor._keys._kinds) <= 2_048
    assert not [text for text in redactor._harmless if "@" in text]


class Defective(Redactor):
    def _redact(self, value: str, seam: object = None) -> str:
        raise ZeroDivisionError


def test_a_defect_in_redaction_hides_the_value() -> None:
    redactor = Defective("a key for tests")
    assert redactor.text("key=hunter2") == REDACTED
    assert redactor.named("a", {"b": "x=hunter2"}) == {"b": REDACTED}
    assert redactor.url("http://h/?a#b=c") == REDACTED


def test_the_librarys_own_attributes_are_shown() -> None:
    shown = [getattr(attributes, name) for name in attributes.__all__]
    assert {key: REDACTOR.named(key, "value") for key in shown} == dict.fromkeys(shown, "value")


def test_a_key_may_have_bytes_that_are_no_text() -> None:
    hashes = {Redactor(key).hash("ada@example.com") for key in ("key \udcff", "key \udcfe", "key ?")}
    assert len(hashes) == 3
