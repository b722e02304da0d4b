"""No literal of a statement survives, whatever the way it is written; names and placeholders do."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.tracing.sql import MAX_STATEMENT, sanitize, summarize

DIALECTS = ["postgresql", "sqlite", "mysql", "oracle"]


@pytest.mark.parametrize(
    ("dialect", "statement", "shown"),
    [
        ("postgresql", "SELECT a FROM t WHERE b = 'it''s' AND c = 1.5e-3", "SELECT a FROM t WHERE b = ? AND c = ?"),
        ("postgresql", "SELECT E'a\\'b', e'\\\\', N'x', B'01', U&'\\0041'", "SELECT ?, ?, ?, ?, ?"),
        ("postgresql", "SELECT 'C:\\', x, 'y'", "SELECT ?, x, ?"),
        ("postgresql", "SELECT $$it's$$, $a$ $b$ $a$, a$b, $1", "SELECT ?, ?, a$b, $1"),
        ("postgresql", "SELECT %(id_1)s::UUID, :name, %s, t1.c2", "SELECT %(id_1)s::UUID, :name, %s, t1.c2"),
        ("postgresql", 'SELECT "a""b" FROM "s"."t" LIMIT 10', 'SELECT "a""b" FROM "s"."t" LIMIT ?'),
        ("postgresql", "SELECT a -- 'secret\nFROM t /* it's */", "SELECT a  \nFROM t"),
        ("postgresql", "SELECT a['k'], 0xFF, .5, 1_000", "SELECT a[?], ?, ?, ?"),
        ("postgresql", "SELECT 'never closed", "SELECT ?"),
        ("postgresql", "SELECT $$never closed", "SELECT ?"),
        ("postgresql", 'SELECT "never closed', "SELECT ?"),
        ("postgresql", "SELECT 1 /* never closed", "SELECT ?"),
        ("postgresql", "/* a /* b */ secret */ SELECT 1", None),
        ("sqlite", 'SELECT x FROM "my tasks" WHERE m = "ada"', 'SELECT x FROM "my tasks" WHERE m = ?'),
        ("sqlite", 'SELECT t."Order" FROM t', 'SELECT t."Order" FROM t'),
        ("sqlite", 'SELECT a IS DISTINCT FROM "ada"', "SELECT a IS DISTINCT FROM ?"),
        ("sqlite", "SELECT [it's], `b'c`, 'x'", "SELECT [it's], `b'c`, ?"),
        ("mysql", "SELECT `a`, \"x\\\"y\", 'a\\'b' # d'", "SELECT `a`, ?, ?"),
        ("oracle", "SELECT a FROM t WHERE b = :b AND c = 5", "SELECT a FROM t WHERE b = :b AND c = ?"),
        ("oracle", "SELECT q'[it's]' FROM t", None),
        ("oracle", "SELECT 1 -- secret", None),
    ],
)
def test_statements_are_sanitized(dialect: str, statement: str, shown: str | None) -> None:
    assert sanitize(statement, dialect) == shown


# --- any literal ------------------------------------------------------------------------------------------------------

SECRET = "Zq7hunter2"
AROUND = st.text("ab'\"`\\$-/*#[](){}:;?%@ \n\u00e9", max_size=12)
BODY = st.tuples(AROUND, AROUND).map(SECRET.join)


def _dollar(body: str) -> str:
    return f"$q${body}$q$" if "$q$" not in body and not body.endswith("$q") else "$q$$q$"


ANY = [
    BODY.map(lambda body: "'" + body.replace("'", "''") + "'"),
    st.integers(10**6, 10**30).map(lambda number: f"{number}{SECRET}"),
    BODY.map(lambda body: "--" + body.replace("\n", " ") + "\n"),
    BODY.map(lambda body: "/*" + body.replace("*", "+").replace("/", "+") + "*/"),
]
LITERALS = {
    "postgresql": st.one_of(
        *ANY,
        BODY.map(_dollar),
        BODY.map(lambda body: "E'" + body.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    ),
    "sqlite": st.one_of(*ANY, BODY.map(lambda body: '= "' + body.replace('"', '""') + '"')),
    "mysql": st.one_of(
        BODY.map(lambda body: "'" + body.replace("\\", "\\\\").replace("'", "\\'") + "'"),
        BODY.map(lambda body: '"' + body.replace("\\", "\\\\").replace('"', '""') + '"'),
        BODY.map(lambda body: "#" + body.replace("\n", " ") + "\n"),
        *ANY[1:],
    ),
}
NAMES = st.sampled_from(
    ["SELECT", "FROM t", "WHERE a =", "AND", "(", ")", ", b", ":id", "%(id)s", "?", "x.y", "::text"]
)


@pytest.mark.parametrize("dialect", sorted(LITERALS))
@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_no_literal_survives(dialect: str, data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.one_of(NAMES, LITERALS[dialect]), max_size=8))
    statement = " ".join(parts)
    shown = sanitize(statement, dialect)
    assert shown is None or SECRET not in shown
    cut = data.draw(st.integers(0, len(statement)))
    shown = sanitize(statement[:cut], dialect)
    assert shown is None or SECRET not in shown


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.lists(NAMES, max_size=10).map(" ".join))
@settings(max_examples=200, deadline=None)
def test_names_and_placeholders_stay(dialect: str, statement: str) -> None:
    assert sanitize(statement, dialect) == statement.strip()


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_sanitized_without_an_error(dialect: str, statement: str) -> None:
    shown = sanitize(statement, dialect)
    operation, table = summarize(shown or "")
    assume(shown is not None)
    assert operation == operation.upper()
    assert len(table) <= len(statement)


def test_a_long_statement_is_cut_with_a_mark() -> None:
    shown = sanitize("INSERT INTO t VALUES " + "('Zq7hunter2'), " * 10_000, "postgresql")
    assert shown is not None
    assert shown.startswith("INSERT INTO t VALUES (?), (?)")
    assert shown.endswith("…[cut]")
    assert len(shown) <= MAX_STATEMENT + 16
    assert summarize(shown) == ("INSERT", "t")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "unit", ["'", "''", "$", "$a$", "$a", "/*", "--", "E'\\", '"', "`", "[", "1", "1e", "a", "from ", "."]
)
def test_hostile_statements_cost_linear_time(dialect: str, unit: str) -> None:
    def seconds(length: int) -> float:
        best = math.inf
        for _ in range(3):
            started = time.process_time()
            sanitize((unit * length)[:length], dialect)
            best = min(best, time.process_time() - started)
        return best

    # Quadratic work would be 64 times as much for the 8 times longer text.
    assert seconds(MAX_STATEMENT) < 30 * seconds(MAX_STATEMENT // 8) + 0.005


# --- operation and table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("INSERT INTO web_crawl_tasks (id) VALUES (?)", ("INSERT", "web_crawl_tasks")),
        ('update "public"."web_crawl_tasks" set a = 1', ("UPDATE", "web_crawl_tasks")),
        ("DELETE FROM t WHERE x", ("DELETE", "t")),
        ("SELECT a,\n b \nFROM t JOIN u ON true", ("SELECT", "t")),
        ("(SELECT a FROM t) UNION (SELECT b FROM u)", ("SELECT", "t")),
        ("CREATE TABLE IF NOT EXISTS t (a INT)", ("CREATE", "t")),
        ("WITH a AS (SELECT b FROM c), d AS (SELECT 1) INSERT INTO e SELECT * FROM a", ("INSERT", "e")),
        ("WITH a AS (DELETE FROM b RETURNING c) SELECT * FROM a", ("SELECT", "a")),
        ("SELECT 1", ("SELECT", "")),
        ("SAVEPOINT sa_savepoint_1", ("SAVEPOINT", "")),
        ("hunter2 is no statement", ("", "")),
        ("", ("", "")),
    ],
)
def test_statements_are_summarized(statement: str, summary: tuple[str, str]) -> None:
    assert summarize(statement) == summary
