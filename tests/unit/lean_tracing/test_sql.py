"""No literal of a statement survives, in any spelling; names and placeholders do."""

import math
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lean_tracing.sql import MAX_STATEMENT, sanitize, summarize

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
def test_names_and_placeholders_stay(dialect: str, statement: str) -> None:
    assert sanitize(statement, dialect) == statement.strip()


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.text())
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


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        ")",
        "(SELECT ",
        "(SELECT a FROM ",
        "FROM (",
        "a.",
        "a..",
        ",f(",
        "JOIN (SELECT ",
        '"',
        "[",
        "IS DISTINCT FROM ",
        "WITH a AS (",
        "AS (SELECT 1) (",
        "ROWS FROM ",
        "ON ALL ",
    ],
)
@pytest.mark.parametrize("verb", ["SELECT ", "WITH ", "DELETE ", "EXPLAIN ", "CREATE "])
def test_hostile_statements_are_summarized_in_linear_time(verb: str, unit: str) -> None:
    def seconds(length: int) -> float:
        best = math.inf
        for _ in range(3):
            started = time.process_time()
            summarize((verb + unit * length)[:length])
            best = min(best, time.process_time() - started)
        return best

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
        ("SELECT extract(epoch FROM created_at) FROM tasks", ("SELECT", "tasks")),
        ('SELECT a FROM "web-tasks"', ("SELECT", "web-tasks")),
        ('SELECT a FROM "crawl"."web-tasks" t', ("SELECT", "web-tasks")),
        ('SELECT a FROM "web.tasks"', ("SELECT", "web.tasks")),
        ('SELECT a FROM "say ""hi"""', ("SELECT", 'say "hi"')),
        ('SELECT a FROM U&"web\\002Dtasks"', ("SELECT", "web-tasks")),
        ("SELECT a FROM `db`.`web-tasks`", ("SELECT", "web-tasks")),
        ("SELECT a FROM [dbo].[web tasks]", ("SELECT", "web tasks")),
        ("SELECT a FROM db..tasks", ("SELECT", "tasks")),
        ("SELECT a FROM aufträge", ("SELECT", "aufträge")),
        (
            "SELECT trim(both FROM a), substring(b FROM ? FOR ?), overlay(c placing d FROM ?) FROM tasks",
            ("SELECT", "tasks"),
        ),
        ("SELECT extract(epoch FROM now())", ("SELECT", "")),
        ("SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM d FROM tasks", ("SELECT", "tasks")),
        ("SELECT DISTINCT a FROM tasks", ("SELECT", "tasks")),
        ("SELECT (SELECT count(*) FROM events) FROM tasks", ("SELECT", "tasks")),
        ("SELECT EXISTS (SELECT ? FROM tasks WHERE id = ?)", ("SELECT", "tasks")),
        ("SELECT a FROM (SELECT b FROM tasks) AS x JOIN events ON true", ("SELECT", "tasks")),
        ("SELECT a FROM ((SELECT b FROM tasks) UNION (SELECT c FROM events)) x", ("SELECT", "tasks")),
        ("SELECT a FROM (tasks JOIN events ON true)", ("SELECT", "tasks")),
        ("SELECT a FROM (VALUES (?, ?)) v (x, y) JOIN tasks ON true", ("SELECT", "tasks")),
        ("SELECT a FROM ONLY tasks", ("SELECT", "tasks")),
        ("SELECT a FROM generate_series(?, ?) n, tasks", ("SELECT", "tasks")),
        ("SELECT a FROM unnest(?) u CROSS JOIN LATERAL jsonb_each(u.x) e", ("SELECT", "")),
        ("SELECT a FROM LATERAL (SELECT b FROM tasks) x", ("SELECT", "tasks")),
        ("SELECT a INTO copied FROM tasks", ("SELECT", "tasks")),
        ("SELECT 1 UNION SELECT a FROM tasks", ("SELECT", "tasks")),
        ("SELECT a FROM ?", ("SELECT", "")),
        ("SELECT a FROM tasks FOR UPDATE SKIP LOCKED", ("SELECT", "tasks")),
        ("WITH a AS (SELECT extract(day FROM b) FROM c) SELECT x FROM a", ("SELECT", "a")),
        ("WITH a (x) AS MATERIALIZED (SELECT 1) UPDATE tasks SET b = a.x FROM a", ("UPDATE", "tasks")),
        ("WITH a AS (SELECT 1) MERGE INTO tasks USING a ON true WHEN MATCHED THEN DELETE", ("MERGE", "tasks")),
        ("WITH a AS (SELECT 1)", ("WITH", "")),
        ("INSERT INTO tasks (a) SELECT b FROM events", ("INSERT", "tasks")),
        ('INSERT INTO "web-tasks" VALUES (?) ON CONFLICT DO UPDATE SET a = ?', ("INSERT", "web-tasks")),
        ("INSERT OR IGNORE INTO tasks VALUES (?)", ("INSERT", "tasks")),
        ("INSERT IGNORE tasks VALUES (?)", ("INSERT", "tasks")),
        ("REPLACE INTO tasks VALUES (?)", ("REPLACE", "tasks")),
        ("UPDATE ONLY tasks SET a = b FROM events", ("UPDATE", "tasks")),
        ("UPDATE OR REPLACE tasks SET a = ?", ("UPDATE", "tasks")),
        ("UPDATE tasks SET a = extract(epoch FROM b)", ("UPDATE", "tasks")),
        ("DELETE FROM ONLY tasks USING events WHERE true", ("DELETE", "tasks")),
        ("DELETE t FROM tasks t JOIN events e ON true", ("DELETE", "tasks")),
        ("DELETE tasks WHERE a = ?", ("DELETE", "tasks")),
        ("MERGE INTO s.tasks t USING (SELECT * FROM events) e ON true", ("MERGE", "tasks")),
        ("TRUNCATE TABLE ONLY s.tasks, events", ("TRUNCATE", "tasks")),
        ("TRUNCATE tasks", ("TRUNCATE", "tasks")),
        ("COPY tasks (a, b) FROM STDIN", ("COPY", "tasks")),
        ("COPY (SELECT a FROM tasks) TO STDOUT", ("COPY", "tasks")),
        ("EXPLAIN (ANALYZE, BUFFERS) SELECT extract(day FROM a) FROM tasks", ("EXPLAIN", "tasks")),
        ("EXPLAIN UPDATE tasks SET a = ?", ("EXPLAIN", "tasks")),
        ("DECLARE c CURSOR FOR SELECT a FROM tasks", ("DECLARE", "tasks")),
        ("FETCH FORWARD 5 FROM c_7f3a_1", ("FETCH", "")),
        ("REVOKE SELECT ON tasks FROM ada", ("REVOKE", "tasks")),
        ("GRANT SELECT ON TABLE tasks TO ada", ("GRANT", "tasks")),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON tasks (a)", ("CREATE", "tasks")),
        ("CREATE VIEW v AS SELECT a FROM tasks", ("CREATE", "tasks")),
        ("CREATE TABLE tasks (a INT, b TEXT)", ("CREATE", "tasks")),
        ("ALTER TABLE IF EXISTS ONLY tasks ADD COLUMN a INT", ("ALTER", "tasks")),
        ("DROP TABLE IF EXISTS s.tasks", ("DROP", "tasks")),
        ("LOCK TABLE tasks IN EXCLUSIVE MODE", ("LOCK", "tasks")),
        ("SET x FROM CURRENT", ("SET", "")),
        ("SHOW TABLES FROM crawl", ("SHOW", "")),
        ("EXPLAIN WITH x AS (SELECT 1 FROM q) SELECT * FROM tasks", ("EXPLAIN", "tasks")),
        ("EXPLAIN (ANALYZE) WITH x AS (SELECT 1 FROM q) INSERT INTO tasks SELECT * FROM x", ("EXPLAIN", "tasks")),
        ("DECLARE c CURSOR WITH HOLD FOR WITH x AS (SELECT 1 FROM q) SELECT * FROM tasks", ("DECLARE", "tasks")),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT a FROM tasks", ("DECLARE", "tasks")),
        ("CREATE VIEW v AS WITH x AS (SELECT 1 FROM q) SELECT * FROM tasks", ("CREATE", "tasks")),
        ("CREATE MATERIALIZED VIEW v WITH (a = ?) AS SELECT a FROM tasks WITH NO DATA", ("CREATE", "tasks")),
        ("CREATE VIEW v WITH (a = ?) AS WITH x AS (SELECT 1 FROM q) SELECT * FROM tasks", ("CREATE", "tasks")),
        ("EXPLAIN WITH x AS (SELECT 1 FROM q)", ("EXPLAIN", "")),
        ("EXPLAIN EXECUTE x", ("EXPLAIN", "")),
        ("SELECT t.from FROM tasks t", ("SELECT", "tasks")),
        ("SELECT mail.from, mail.to FROM mails mail", ("SELECT", "mails")),
        ("SELECT a.join FROM tasks a", ("SELECT", "tasks")),
        ("SELECT t . from, t.select, t.union FROM tasks t", ("SELECT", "tasks")),
        ("SELECT a FROM tasks t WHERE t.where = ? AND t.from = ?", ("SELECT", "tasks")),
        ("DELETE FROM s.table", ("DELETE", "table")),
        ("SELECT a FROM s.values", ("SELECT", "values")),
        ("UPDATE s.only SET a = ?", ("UPDATE", "only")),
        ("CREATE TRIGGER t BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION f()", ("CREATE", "tasks")),
        (
            "CREATE TRIGGER t AFTER INSERT OR UPDATE OF a, b OR DELETE ON s.tasks EXECUTE FUNCTION f()",
            ("CREATE", "tasks"),
        ),
        ("CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON tasks EXECUTE FUNCTION f()", ("CREATE", "tasks")),
        ("CREATE OR REPLACE TRIGGER t INSTEAD OF UPDATE ON v EXECUTE FUNCTION f()", ("CREATE", "v")),
        ("CREATE RULE r AS ON UPDATE TO tasks DO INSTEAD NOTHING", ("CREATE", "tasks")),
        ("CREATE POLICY p ON tasks FOR SELECT USING (true)", ("CREATE", "tasks")),
        ("DROP TRIGGER t ON tasks", ("DROP", "tasks")),
        ("DROP INDEX i", ("DROP", "")),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ?", ("CREATE", "")),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA s TO ada", ("GRANT", "")),
        ("GRANT USAGE ON SCHEMA s TO ada", ("GRANT", "")),
        ("GRANT EXECUTE ON FUNCTION f(int) TO ada", ("GRANT", "")),
        ("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA s TO ada", ("GRANT", "")),
        ("GRANT USAGE ON FOREIGN DATA WRAPPER w TO ada", ("GRANT", "")),
        ("REVOKE ALL ON SEQUENCE s FROM ada", ("REVOKE", "")),
        ("GRANT SELECT (a), UPDATE (b) ON tasks TO ada", ("GRANT", "tasks")),
        ("GRANT SELECT ON schema.tasks TO ada", ("GRANT", "tasks")),
        ("GRANT SELECT ON sequence TO ada", ("GRANT", "sequence")),
        ("GRANT ALL ON crawl.* TO ada", ("GRANT", "")),
        ("COMMENT ON TRIGGER t ON tasks IS ?", ("COMMENT", "tasks")),
        ("CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()", ("CREATE", "")),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a FROM tasks; END", ("CREATE", "tasks")),
        ("EXPLAIN SELECT index, table FROM tasks", ("EXPLAIN", "tasks")),
        ("EXPLAIN SELECT event FROM tasks", ("EXPLAIN", "tasks")),
        ("CREATE VIEW event AS SELECT rule FROM tasks", ("CREATE", "tasks")),
        ("CREATE FUNCTION f(event int) RETURNS int RETURN (SELECT policy FROM tasks)", ("CREATE", "tasks")),
        ("GRANT admin TO ada", ("GRANT", "")),
        ("SELECT a FROM ROWS FROM (f(), g()) r, tasks", ("SELECT", "tasks")),
        ("SELECT a FROM LATERAL ROWS FROM (f(), g()) r", ("SELECT", "")),
        ("SELECT a FROM rows", ("SELECT", "rows")),
        ("WITH a AS (SELECT 1 FROM q) (SELECT * FROM tasks)", ("SELECT", "tasks")),
        ("WITH a AS (SELECT 1 FROM q) ((SELECT * FROM tasks) UNION SELECT 1)", ("SELECT", "tasks")),
        (
            "WITH a(b) AS (SELECT 1 FROM q), c AS NOT MATERIALIZED (VALUES (?)) (SELECT * FROM tasks)",
            ("SELECT", "tasks"),
        ),
        ("EXPLAIN WITH a AS (SELECT 1 FROM q) (SELECT * FROM tasks)", ("EXPLAIN", "tasks")),
        ("LOCK tasks IN SHARE MODE", ("LOCK", "tasks")),
        ("LOCK ONLY s.tasks, events", ("LOCK", "tasks")),
        ("LOCK TABLES tasks READ", ("LOCK", "tasks")),
        ("hunter2 is no statement", ("", "")),
        ("", ("", "")),
    ],
)
def test_statements_are_summarized(statement: str, summary: tuple[str, str]) -> None:
    assert summarize(statement) == summary
