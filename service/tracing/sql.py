"""SQL as a span may show it: literals and comments gone, operation and table found."""

from __future__ import annotations

import re
from typing import Final

# Characters of a statement that are looked at; an INSERT of a thousand rows says no more than one of ten.
MAX_STATEMENT: Final = 4_096
_CUT = " …[cut]"

_COMMENT = r"(?P<comment>--[^\n]*+|/\*.*?(?:\*/|\Z))"
# The end of a comment that was not one: comments were nested, and what stood in them is already past.
_STRAY = r"(?P<stray>\*/)"
_STRING = r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*+(?:'|\Z)"
_REST = r"""
    | (?P<keep>[^\W\d][\w$]*+ | %\([^)\s]{1,64}\)s | %[s%] | :: | :[^\W\d]\w*+ | \$[0-9]+ | \?[0-9]*+ | @\w++)
    | (?P<number>(?:0[xX][0-9a-fA-F_]++ | \d[\d_]*+(?:\.\d*+)? | \.\d++)(?:[eE][+-]?\d++)?\w*+)
"""


def _tokens(quoted: str) -> re.Pattern[str]:
    return re.compile(f"{_COMMENT}|{_STRAY}|{quoted}{_REST}", re.VERBOSE | re.DOTALL)


_POSTGRES = _tokens(
    rf"""(?P<literal>[eE]'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z) | {_STRING}
    | \$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?(?:\$(?P=tag)\$|\Z) | "[^"]*+\Z)
    | (?P<name>(?:"[^"]*")++)"""
)
# Where SQLite finds no such name, "..." is a string: it is a name only where nothing else can stand.
_SQLITE = _tokens(
    rf"""(?P<name>(?:(?<!(?i:distinct)\s)(?i:from|join|into|update|table|exists|as)\s++|\.)"[^"]*" | "[^"]*"(?=\.)
    | `[^`]*` | \[[^\]]*\])
    | (?P<literal>{_STRING} | "[^"]*+(?:"|\Z) | [`\[].*)"""
)
_MYSQL = _tokens(
    r"""(?P<hash>\#[^\n]*+)
    | (?P<literal>(?:[bBxXnN]|_\w++\s*+)?'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z) | "(?:[^"\\]|\\.|"")*+(?:"|\\?\Z) | `[^`]*+\Z)
    | (?P<name>(?:`[^`]*`)++)"""
)
_SYNTAX = {
    "postgresql": _POSTGRES, "cockroachdb": _POSTGRES, "sqlite": _SQLITE, "mysql": _MYSQL, "mariadb": _MYSQL,
}  # fmt: skip
_PLAIN = _tokens(r"(?P<literal>(?!))")
_NOT_PLAIN = re.compile(r"""['"`\[$\\#]|--|/\*""")

# Span names must stay few: what is none of these is not named.
_OPERATIONS = frozenset({
    "ALTER", "ANALYZE", "BEGIN", "CALL", "CLOSE", "COMMENT", "COMMIT", "COPY", "CREATE", "DECLARE", "DELETE", "DO",
    "DROP", "EXECUTE", "EXPLAIN", "FETCH", "GRANT", "INSERT", "LISTEN", "LOCK", "MERGE", "NOTIFY", "PRAGMA",
    "REFRESH", "REINDEX", "RELEASE", "REPLACE", "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW",
    "TRUNCATE", "UNLISTEN", "UPDATE", "USE", "VACUUM", "VALUES", "WITH",
})  # fmt: skip
_FIRST_WORD = re.compile(r"[\s(;]*([A-Za-z]+)")
_MAIN_VERB = re.compile(r"[()]|\b(?:SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_TABLE = re.compile(
    r"""\b(?:INTO|UPDATE|FROM|JOIN|TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?)\s+(?:ONLY\s+)?([\w."`\[\]]+)""", re.IGNORECASE
)


def _shown(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "keep" | "name":
            return token.group()
        case "comment" | "hash":
            return " "
        case "stray":
            raise ValueError("nested comments")
        case _:
            return "?"


def sanitize(statement: str, dialect: str) -> str | None:
    """`statement` with `?` for each literal and without its comments; None where it cannot be told what is a literal.

    dialect: SQLAlchemy's name of it. Of one whose quoting is not known here, only statements without quotes are shown.
    """
    syntax = _SYNTAX.get(dialect, _PLAIN)
    if syntax is _PLAIN and _NOT_PLAIN.search(statement):
        return None
    try:
        shown = syntax.sub(_shown, statement[:MAX_STATEMENT]).strip()
    except ValueError:
        return None
    return shown if len(statement) <= MAX_STATEMENT else shown + _CUT


def summarize(sanitized: str) -> tuple[str, str]:
    """(operation, table) of a sanitized statement, "" for what it has not: ("INSERT", "web_crawl_tasks")."""
    first = _FIRST_WORD.match(sanitized)
    operation = first.group(1).upper() if first else ""
    if operation not in _OPERATIONS:
        return "", ""
    start = 0
    if operation == "WITH":
        operation, start = _main_verb(sanitized)
    table = _TABLE.search(sanitized, start)
    return operation, table.group(1).strip('"`[]').rpartition(".")[2].strip('"`[]') if table else ""


def _main_verb(sanitized: str) -> tuple[str, int]:
    """The verb of a statement that begins with WITH, and where it stands: the first outside of all parentheses."""
    depth = 0
    for found in _MAIN_VERB.finditer(sanitized):
        match found.group():
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case verb if depth == 0:
                return verb.upper(), found.start()
    return "WITH", 0
