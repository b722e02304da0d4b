"""SQL as a span may show it: literals and comments gone, operation and table found."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

# Characters of a statement that are looked at; an INSERT of a thousand rows says no more than one of ten.
MAX_STATEMENT: Final = 4_096
# Characters in which a statement that writes names its table.
_NEAR: Final = 1_024
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
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})
_BEGINS = _VERBS | {"WITH"}
# Between a verb and its table.
_MODIFIERS = frozenset(
    {"ABORT", "DELAYED", "FAIL", "HIGH_PRIORITY", "IGNORE", "LATERAL", "LOW_PRIORITY", "ONLY", "OR", "QUICK",
     "REPLACE", "ROLLBACK", "TABLE", "IF", "NOT", "EXISTS", "CONCURRENTLY"}
)  # fmt: skip
# Reserved: no unquoted name is one of these.
_NO_NAMES = _VERBS | {
    "AS", "DEFAULT", "FOR", "FROM", "GROUP", "HAVING", "IN", "JOIN", "LIMIT", "ON", "ORDER", "SET", "STDIN", "STDOUT",
    "TO", "UNION", "USING", "VALUES", "WHERE", "WITH",
}  # fmt: skip
# Of the things that statements make, change and drop: those whose table is named, and the word before it.
_BEFORE_TABLE = {
    "TABLE": "TABLE",
    "INDEX": "ON",
    "POLICY": "ON",
    "TRIGGER": "ON",
    "RULE": "TO",
    "EVENT": "",
    "VIEW": "",
}
# Where a statement in a statement begins.
_BEFORE_INNER = {"CREATE": "AS", "DECLARE": "FOR", "EXPLAIN": "EXPLAIN"}
_TOKEN = re.compile(
    r"""(?P<quoted>(?:[uU]&)?"(?:[^"]|"")*+" | `(?:[^`]|``)*+` | \[[^\]]*+\])
    | (?P<word>[^\W\d][\w$\#]*+) | [().,;?*]""",
    re.VERBOSE,
)
_MARKS = frozenset("().,;?*")
_ESCAPE = re.compile(r"\\(?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")


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
    """(operation, table) of a sanitized statement, "" for what it has not: ("INSERT", "web_crawl_tasks").

    The table is the one that is written, else the first that is read; it is the name of a CTE where that is read.
    """
    first = _FIRST_WORD.match(sanitized)
    operation = first.group(1).upper() if first else ""
    if operation not in _OPERATIONS:
        return "", ""
    tokens = _Tokens(sanitized[:_NEAR] if operation in ("INSERT", "UPDATE", "DELETE") else sanitized)
    verb = tokens.find(operation, 0)
    if operation == "WITH":
        verb = tokens.body(verb)
        if verb < 0:
            return "WITH", ""
        operation = tokens.words[verb]
    elif operation in _BEFORE_INNER and not (operation == "CREATE" and _BEFORE_TABLE.get(tokens.kind(verb)[0])):
        inner = tokens.inner(max(tokens.find(_BEFORE_INNER[operation], verb), verb) + 1)
        return operation, _table(tokens, tokens.words[inner], inner) if inner >= 0 else ""
    return operation, _table(tokens, operation, verb)


class _Tokens:
    """The names, words and marks of a statement, each with how many parentheses are open around it."""

    __slots__ = ("depths", "texts", "words")

    def __init__(self, sanitized: str) -> None:
        self.texts: list[str] = []
        self.words: list[str] = []
        """In upper case; "" of all but unquoted words, and of those behind a dot, which are names."""
        self.depths: list[int] = []
        depth = 0
        for found in _TOKEN.finditer(sanitized):
            text = found.group()
            if text == ")":
                depth -= 1
            is_word = found.lastgroup == "word" and self.texts[-1:] != ["."]
            self.texts.append(text)
            self.words.append(text.upper() if is_word else "")
            self.depths.append(depth)
            if text == "(":
                depth += 1

    def find(self, word: str, start: int) -> int:
        """The first place of `word` from `start` on; -1 if there is none."""
        try:
            return self.words.index(word, start)
        except ValueError:
            return -1

    def at_depth(self, start: int) -> Iterator[int]:
        """The places behind `start` that are in the same parentheses."""
        depth = self.depths[start]
        for at in range(start + 1, len(self.words)):
            if self.depths[at] < depth:
                return
            if self.depths[at] == depth:
                yield at

    def body(self, at: int) -> int:
        """The verb of the statement behind the CTEs of the WITH at `at`; -1 if there is none."""
        place = at
        while place >= 0 and self.words[place] == "WITH":
            place = next(
                (
                    at
                    for at in self.at_depth(place)
                    # A parenthesis behind that of a CTE begins the statement.
                    if self.words[at] in _VERBS or (self.texts[at] == "(" and self.texts[at - 1] == ")")
                ),
                -1,
            )
            while 0 <= place < len(self.texts) - 1 and self.texts[place] == "(":
                place += 1
        return place if place >= 0 and self.words[place] in _VERBS else -1

    def inner(self, start: int) -> int:
        """The verb of the first statement that begins at `start` or behind it; -1 if there is none."""
        begin = next((at for at in range(start, len(self.words)) if self.words[at] in _BEGINS), -1)
        return self.body(begin) if begin >= 0 and self.words[begin] == "WITH" else begin

    def kind(self, verb: int) -> tuple[str, int]:
        """What the statement makes, changes or drops, of those in `_BEFORE_TABLE`, and its place; "" if none."""
        at = verb
        while self.is_name(at):
            if self.words[at] in _BEFORE_TABLE:
                return self.words[at], at
            at += 1
        return "", -1

    def is_name(self, at: int) -> bool:
        """Whether a word or a quoted name stands at `at`."""
        return at < len(self.texts) and self.texts[at] not in _MARKS

    def name(self, at: int, *, called: bool = False) -> str:
        """The last part of the name that begins at `at`, "" if none does.

        called: False also takes no name that parentheses follow, which call a function.
        """
        while at < len(self.words) and self.words[at] in _MODIFIERS:
            at += 1
        last = -1
        while self.is_name(at):
            last = at
            while at + 1 < len(self.words) and self.texts[at + 1] == "." and at + 2 < len(self.words):
                at += 1
                if self.texts[at + 1] != ".":
                    break
            else:
                break
            at += 1
        if last < 0 or self.words[last] in _NO_NAMES:
            return ""
        behind = self.texts[last + 1] if last + 1 < len(self.texts) else ""
        if behind == "." or (behind == "(" and not called):
            return ""
        return _unquoted(self.texts[last])


def _unquoted(name: str) -> str:
    if name[-1] == "]":
        return name[1:-1]
    if name[-1] not in '"`':
        return name
    quote, begin = name[-1], name.index(name[-1])
    plain = name[begin + 1 : -1].replace(quote * 2, quote)
    return _ESCAPE.sub(_character, plain) if begin else plain


def _character(escape: re.Match[str]) -> str:
    number = int(escape.group(1) or escape.group(2), 16)
    return chr(number) if number <= sys.maxunicode else ""


def _table(tokens: _Tokens, operation: str, verb: int) -> str:
    """The table of the statement whose `operation` stands at `verb`."""
    match operation:
        case "SELECT":
            return _read(tokens, verb)
        case "INSERT" | "REPLACE" | "MERGE" | "DELETE":
            before = "FROM" if operation == "DELETE" else "INTO"
            at = next((at for at in tokens.at_depth(verb) if tokens.words[at] == before), verb)
            return tokens.name(at + 1, called=True)
        case "UPDATE" | "TRUNCATE":
            return tokens.name(verb + 1)
        case "COPY":
            return tokens.name(verb + 1, called=True) or _read(tokens, verb)
        case "LOCK":
            return tokens.name(verb + (2 if tokens.words[verb + 1 : verb + 2] == ["TABLES"] else 1))
        case "GRANT" | "REVOKE":
            if (at := tokens.find("ON", verb)) < 0:
                return ""
            at += 2 if tokens.words[at + 1 : at + 2] == ["TABLE"] else 1
            # Two words are the kind of another thing, and its name.
            if tokens.is_name(at + 1) and tokens.words[at + 1] not in ("TO", "FROM"):
                return ""
            return tokens.name(at)
        case "ALTER" | "COMMENT" | "CREATE" | "DROP" | "REINDEX":
            kind, at = tokens.kind(verb)
            word = _BEFORE_TABLE.get(kind)
            at = tokens.find(word, at) if word else -1
            return tokens.name(at + 1, called=True) if at >= 0 else ""
    return ""


def _read(tokens: _Tokens, verb: int) -> str:
    """The first table that a query reads itself, else the first that a query inside of it reads."""
    level = tokens.depths[verb]
    texts, words, depths = tokens.texts, tokens.words, tokens.depths
    # The depths of queries around the present place. FROM means something else in extract(... FROM ...) and the like.
    queries = [level]
    inner = ""
    open_lists: set[int] = set()  # depths at which a comma leads to the next table
    within = -1  # the depth of a query that stands in place of a table: what it reads is what is looked for
    for at in range(verb + 1, len(texts)):
        depth, word = depths[at], words[at]
        while len(queries) > 1 and depth < queries[-1]:
            open_lists.discard(queries.pop())
        if texts[at] == ")" and depth < within:
            within = -1
        if texts[at] == "(" and at + 1 < len(texts) and words[at + 1] in ("SELECT", "WITH"):
            queries.append(depth + 1)
        if depth != queries[-1]:
            continue
        if word == "FROM":
            if words[at - 1] == "DISTINCT" and words[at - 2] in ("IS", "NOT"):
                continue
            open_lists.add(depth)
        elif word in ("WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT"):
            open_lists.discard(depth)
        if not (word in ("FROM", "JOIN") or (texts[at] == "," and depth in open_lists)):
            continue
        begin = at + 1
        while begin < len(texts) and (words[begin] in _MODIFIERS or texts[begin] == "("):
            begin += 1
        if words[begin : begin + 2] == ["ROWS", "FROM"]:  # calls of functions, side by side
            continue
        if table := tokens.name(begin):
            if depth in (level, within):
                return table
            inner = inner or table
        elif begin < len(texts) and words[begin] in ("SELECT", "WITH") and depth in (level, within):
            within = depths[begin]
    return inner
