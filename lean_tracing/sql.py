"""Makes SQL fit for a span: removes literals and comments, and finds the operation and the table."""

import functools
import re
import sys
from collections.abc import Iterator
from typing import Final

# Characters of a statement that are read; an INSERT of a thousand rows shows no more than one of ten.
MAX_STATEMENT: Final = 4_096
# A statement that writes names its table within so many characters.
_TABLE_WITHIN: Final = 1_024
_CUT = " …[cut]"

_COMMENT = r"(?P<comment>--[^\n]*+|/\*.*?(?:\*/|\Z))"
# The end of an outer comment: comments were nested, so that a part of it was already taken for the statement.
_STRAY = r"(?P<stray>\*/)"
_STRING = r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*+(?:'|\Z)"
_REST = r"""
    | (?P<keep>[^\W\d][\w$]*+ | %\([^)\s]{1,64}\)s | %[s%] | :: | :[^\W\d]\w*+ | \$[0-9]+ | \?[0-9]*+ | @\w++)
    | (?P<number>(?:0[xX][0-9a-fA-F_]++ | \d[\d_]*+(?:\.\d*+)? | \.\d++)(?:[eE][+-]?\d++)?\w*+)
"""


# Literals and quoted names by dialect.
_POSTGRES: Final = rf"""
    (?P<literal>[eE]'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z) | {_STRING}
    | \$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?(?:\$(?P=tag)\$|\Z) | "[^"]*+\Z)
    | (?P<name>(?:"[^"]*")++)"""
# For SQLite, "..." is a string if there is no such name. It is taken for a name only where a string is not allowed.
_SQLITE: Final = rf"""
    (?P<name>(?:(?<!(?i:distinct)\s)(?i:from|join|into|update|table|exists|as)\s++|\.)"[^"]*" | "[^"]*"(?=\.)
    | `[^`]*` | \[[^\]]*\])
    | (?P<literal>{_STRING} | "[^"]*+(?:"|\Z) | [`\[].*)"""
_MYSQL: Final = r"""
    (?P<hash>\#[^\n]*+)
    | (?P<literal>(?:[bBxXnN]|_\w++\s*+)?'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z) | "(?:[^"\\]|\\.|"")*+(?:"|\\?\Z) | `[^`]*+\Z)
    | (?P<name>(?:`[^`]*`)++)"""
_QUOTED: Final = {
    "postgresql": _POSTGRES, "cockroachdb": _POSTGRES, "sqlite": _SQLITE, "mysql": _MYSQL, "mariadb": _MYSQL,
}  # fmt: skip
_NO_QUOTES: Final = "(?P<literal>(?!))"
_NOT_PLAIN = re.compile(r"""['"`\[$\\#]|--|/\*""")

# The number of span names must stay small, so only these operations are named.
_OPERATIONS = frozenset({
    "ALTER", "ANALYZE", "BEGIN", "CALL", "CLOSE", "COMMENT", "COMMIT", "COPY", "CREATE", "DECLARE", "DELETE", "DO",
    "DROP", "EXECUTE", "EXPLAIN", "FETCH", "GRANT", "INSERT", "LISTEN", "LOCK", "MERGE", "NOTIFY", "PRAGMA",
    "REFRESH", "REINDEX", "RELEASE", "REPLACE", "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW",
    "TRUNCATE", "UNLISTEN", "UPDATE", "USE", "VACUUM", "VALUES", "WITH",
})  # fmt: skip
_FIRST_WORD = re.compile(r"[\s(;]*([A-Za-z]+)")
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})
_BEGINS = _VERBS | {"WITH"}
# Words that may be between a verb and its table.
_MODIFIERS = frozenset(
    {"ABORT", "DELAYED", "FAIL", "HIGH_PRIORITY", "IGNORE", "LATERAL", "LOW_PRIORITY", "ONLY", "OR", "QUICK",
     "REPLACE", "ROLLBACK", "TABLE", "IF", "NOT", "EXISTS", "CONCURRENTLY"}
)  # fmt: skip
# Reserved words, which are no unquoted names.
_NO_NAMES = _VERBS | {
    "AS", "DEFAULT", "FOR", "FROM", "GROUP", "HAVING", "IN", "JOIN", "LIMIT", "ON", "ORDER", "SET", "STDIN", "STDOUT",
    "TO", "UNION", "USING", "VALUES", "WHERE", "WITH",
}  # fmt: skip
# The kinds of things that statements create, alter and drop and whose table is named; and the word before the table.
_BEFORE_TABLE = {
    "TABLE": "TABLE",
    "INDEX": "ON",
    "POLICY": "ON",
    "TRIGGER": "ON",
    "RULE": "TO",
    "EVENT": "",
    "VIEW": "",
}
# The word before a statement that is a part of another.
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


@functools.cache  # a program uses one dialect, and compiling the expressions of all would make its start longer
def _tokens(dialect: str) -> re.Pattern[str]:
    quoted = _QUOTED.get(dialect, _NO_QUOTES)
    return re.compile(f"{_COMMENT}|{_STRAY}|{quoted}{_REST}", re.VERBOSE | re.DOTALL)


def sanitize(statement: str, dialect: str) -> str | None:
    """`statement` with `?` for each literal and without comments; None if its literals cannot be recognised.

    Args:
        statement: as the driver gets it.
        dialect: SQLAlchemy's name of it. If its quoting is not known here, statements with quotes are not shown.
    """
    if dialect not in _QUOTED and _NOT_PLAIN.search(statement):
        return None
    try:
        shown = _tokens(dialect).sub(_shown, statement[:MAX_STATEMENT]).strip()
    except ValueError:
        return None
    return shown if len(statement) <= MAX_STATEMENT else shown + _CUT


def summarize(sanitized: str) -> tuple[str, str]:
    """The operation and the table of a sanitized statement, such as ("INSERT", "web_crawl_tasks"); "" if it has none.

    The table is the one that is written, else the first that is read, which may be the name of a CTE.
    """
    first = _FIRST_WORD.match(sanitized)
    operation = first.group(1).upper() if first else ""
    if operation not in _OPERATIONS:
        return "", ""
    tokens = _Tokens(sanitized[:_TABLE_WITHIN] if operation in ("INSERT", "UPDATE", "DELETE") else sanitized)
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
    """The names, words and marks of a statement, each with the number of parentheses around it."""

    __slots__ = ("depths", "texts", "words")

    def __init__(self, sanitized: str) -> None:
        self.texts: list[str] = []
        self.words: list[str] = []
        """In upper case; "" for anything but unquoted words, and for words after a dot, which are names."""
        self.depths: list[int] = []
        depth = 0
        for match in _TOKEN.finditer(sanitized):
            text = match.group()
            if text == ")":
                depth -= 1
            is_word = match.lastgroup == "word" and self.texts[-1:] != ["."]
            self.texts.append(text)
            self.words.append(text.upper() if is_word else "")
            self.depths.append(depth)
            if text == "(":
                depth += 1

    def find(self, word: str, start: int) -> int:
        """The first position of `word` from `start` on; -1 if there is none."""
        try:
            return self.words.index(word, start)
        except ValueError:
            return -1

    def at_depth(self, start: int) -> Iterator[int]:
        """The positions after `start` that are inside the same parentheses."""
        depth = self.depths[start]
        for index in range(start + 1, len(self.words)):
            if self.depths[index] < depth:
                return
            if self.depths[index] == depth:
                yield index

    def body(self, index: int) -> int:
        """The position of the verb after the CTEs of a WITH; -1 if there is none."""
        position = index
        while position >= 0 and self.words[position] == "WITH":
            position = next(
                (
                    index
                    for index in self.at_depth(position)
                    # A parenthesis after that of a CTE begins the statement.
                    if self.words[index] in _VERBS or (self.texts[index] == "(" and self.texts[index - 1] == ")")
                ),
                -1,
            )
            while 0 <= position < len(self.texts) - 1 and self.texts[position] == "(":
                position += 1
        return position if position >= 0 and self.words[position] in _VERBS else -1

    def inner(self, start: int) -> int:
        """The position of the verb of the first statement that begins at `start` or later; -1 if there is none."""
        begin = next((index for index in range(start, len(self.words)) if self.words[index] in _BEGINS), -1)
        return self.body(begin) if begin >= 0 and self.words[begin] == "WITH" else begin

    def kind(self, verb: int) -> tuple[str, int]:
        """The kind in `_BEFORE_TABLE` of what the statement creates, alters or drops, and its position; "" if none."""
        index = verb
        while self.is_name(index):
            if self.words[index] in _BEFORE_TABLE:
                return self.words[index], index
            index += 1
        return "", -1

    def is_name(self, index: int) -> bool:
        """Whether there is a word or a quoted name at a position."""
        return index < len(self.texts) and self.texts[index] not in _MARKS

    def name(self, index: int, *, called: bool = False) -> str:
        """The last part of the name that begins at a position; "" if none does.

        Args:
            index: the position.
            called: accept a name that is followed by a parenthesis; without it that is the call of a function.
        """
        while index < len(self.words) and self.words[index] in _MODIFIERS:
            index += 1
        last = -1
        while self.is_name(index):
            last = index
            while index + 1 < len(self.words) and self.texts[index + 1] == "." and index + 2 < len(self.words):
                index += 1
                if self.texts[index + 1] != ".":
                    break
            else:
                break
            index += 1
        if last < 0 or self.words[last] in _NO_NAMES:
            return ""
        following = self.texts[last + 1] if last + 1 < len(self.texts) else ""
        if following == "." or (following == "(" and not called):
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
    """The table of the statement whose operation is at the position `verb`."""
    match operation:
        case "SELECT":
            return _read(tokens, verb)
        case "INSERT" | "REPLACE" | "MERGE" | "DELETE":
            preceding = "FROM" if operation == "DELETE" else "INTO"
            index = next((index for index in tokens.at_depth(verb) if tokens.words[index] == preceding), verb)
            return tokens.name(index + 1, called=True)
        case "UPDATE" | "TRUNCATE":
            return tokens.name(verb + 1)
        case "COPY":
            return tokens.name(verb + 1, called=True) or _read(tokens, verb)
        case "LOCK":
            return tokens.name(verb + (2 if tokens.words[verb + 1 : verb + 2] == ["TABLES"] else 1))
        case "GRANT" | "REVOKE":
            if (index := tokens.find("ON", verb)) < 0:
                return ""
            index += 2 if tokens.words[index + 1 : index + 2] == ["TABLE"] else 1
            # Two words are the kind of something else, and its name.
            if tokens.is_name(index + 1) and tokens.words[index + 1] not in ("TO", "FROM"):
                return ""
            return tokens.name(index)
        case "ALTER" | "COMMENT" | "CREATE" | "DROP" | "REINDEX":
            kind, index = tokens.kind(verb)
            word = _BEFORE_TABLE.get(kind)
            index = tokens.find(word, index) if word else -1
            return tokens.name(index + 1, called=True) if index >= 0 else ""
    return ""


def _read(tokens: _Tokens, verb: int) -> str:
    """The first table that a query reads itself, else the first that a query inside it reads."""
    level = tokens.depths[verb]
    texts, words, depths = tokens.texts, tokens.words, tokens.depths
    # The depths of the queries around the current position. In extract(... FROM ...) and the like, FROM reads no table.
    queries = [level]
    inner = ""
    open_lists: set[int] = set()  # depths at which a comma leads to the next table
    within = -1  # the depth of a query in the position of a table, whose own table is the answer
    for index in range(verb + 1, len(texts)):
        depth, word = depths[index], words[index]
        while len(queries) > 1 and depth < queries[-1]:
            open_lists.discard(queries.pop())
        if texts[index] == ")" and depth < within:
            within = -1
        if texts[index] == "(" and index + 1 < len(texts) and words[index + 1] in ("SELECT", "WITH"):
            queries.append(depth + 1)
        if depth != queries[-1]:
            continue
        if word == "FROM":
            if words[index - 1] == "DISTINCT" and words[index - 2] in ("IS", "NOT"):
                continue
            open_lists.add(depth)
        elif word in ("WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT"):
            open_lists.discard(depth)
        if not (word in ("FROM", "JOIN") or (texts[index] == "," and depth in open_lists)):
            continue
        begin = index + 1
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
