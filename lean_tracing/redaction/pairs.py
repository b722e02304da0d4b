"""Hides the values of `name=value` pairs inside text where the name is that of a secret, however a pair is written.

Every search takes linear time: repetitions are bounded or possessive, and those begin only where a run of their
characters begins.
"""

import re

from lean_tracing.redaction import names
from lean_tracing.redaction.edits import Context, Edit, Seam, apply_edits
from lean_tracing.redaction.keys import KeyRules, Kind, is_secret_parameter
from lean_tracing.redaction.limits import REDACTED

# A name and what joins it to its value: `a=`, `a: `, `"a": `, `a => `, `['a'] = `, `a[]=`, `a%3D`, `a%22%3A`, `<a>`,
# `'a', b'`, and `('a', '` where `_PAIR` matches as well.
_NAME = re.compile(
    r"""([\w.-](?<![\w.-].)[\w.-]*+)(?:\\*["']|%(?:25){0,3}2[27])?+(?:\[\]|\]|(?:%5[Bb])?%5[Dd])?+
    (?:\s*+(?:=>|:=|={1,3}|:)|%(?:25){0,3}3[DdAa]|>(?=[^\s<=])|(?<=["']),\s*+(?=[bBuU]?["']|[\[{(]))\s*+""",
    re.VERBOSE | re.DOTALL,
)
# A tuple, or a list inside a list, of nothing but a name and its value.
_PAIR = re.compile(
    r"""(?:\(|(?<=[\[,])\s?\[)\s*+[bBuU]?(?P<q>["'])[\w.-]++(?P=q),\s*+
    (?:[bBuU]?(?P<v>["'])(?:\\.|(?!(?P=v)).)*+(?:(?P=v)\s*+,?\s*+[)\]]|\Z)|[\[{(])""",
    re.VERBOSE | re.DOTALL,
)
_FLAG = re.compile(r"(--[A-Za-z][\w.-]*+)\s++(?!-)")
_UNQUOTED = r"""(?:
    [^\s&;"'<]
    | ["'](?=[^\s,;:.)\]}&"'<>])     # not a closing quote: the value continues
    | &(?![\w.%~\[\]-]{0,64}=)
    | ;(?!\s|\Z|[\w\ .-]{1,64}=)
    | <(?![/\w])
)++"""
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|'(?:[^'\\]|\\.)*+(?:'|\\?\Z))++"""
_VALUE = re.compile(
    rf"""[bBrRuUfF]{{0,2}}{_QUOTED}(?:(?=\w){_UNQUOTED})?+
    | (?P<escaped>\\+["'])(?:(?!(?P=escaped)).)*+(?:(?P=escaped)|\Z)
    | (?i:bearer|basic|digest|negotiate|token|apikey)\s++{_UNQUOTED}
    | <(?![/!])[^<>\r\n]*+>
    | {_UNQUOTED}""",
    re.VERBOSE | re.DOTALL,
)
# The start of a list, a map, a tuple or a call.
_BRACKET = re.compile(r"[A-Za-z_.]{0,64}([\[{(])")
_CONTINUED = re.compile(rf"(?=\w){_UNQUOTED}", re.VERBOSE)
# Quoted text, in which brackets do not count, and the brackets outside of it. An apostrophe inside a word is no quote.
_BRACKETS = {
    begin: re.compile(
        rf"""(?<!\w)[bBrRuUfF]{{1,2}}{_QUOTED} | \w'(?=\w) | {_QUOTED}
        | (?P<escaped>\\++["'])(?:(?!(?P=escaped)).)*+(?:(?P=escaped)|\Z) | \\++
        | (?P<begin>\{begin}) | (?P<end>\{end})""",
        re.VERBOSE | re.DOTALL,
    )
    for begin, end in ("[]", "{}", "()")
}
_NUMBERS = re.compile(
    r"""(?:[\[\](){},\s] | \\*"[^"\\]*+\\*"\s*+: | \\*'[^'\\]*+\\*'\s*+:
    | (?:-?[0-9][0-9.]*+(?:[eE][+-]?[0-9]++)?+|[Tt]rue|[Ff]alse|null|None)(?![\w.-]))*+""",
    re.VERBOSE,
)
_KEY = re.compile(r"""(?<![\w.-])([\w.-]++)\\*["']\s*+:""")
_ELEMENT = re.compile(r"<((?:[\w.-]++:)?+([\w.-]++))(?:\s[^<>]*+)?+>")
_LINE_VALUE = re.compile(rf"""b?{_QUOTED}|[^\r\n]++""", re.VERBOSE | re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}(?:[/?#\s]|\Z)")
# What is redacted already.
_REDACTED = re.compile(r"""…\[cut\]\Z|\[redacted\](?=[)\]}]*+(?:[,;]?(?:\s|\Z)|[&"'<]))""")
# A placeholder of SQL or of a template, or a boolean.
_PLACEHOLDER = re.compile(
    r"(?:\?|%s|\$[0-9]{1,3}|None|null|NULL|[Tt]rue|[Ff]alse|:(\w+)|%\((\w+)\)s|\{(\w+)\})[,;)}\]]{0,4}"
)


def hide_pairs(text: str, context: Context, seam: Seam | None) -> str:
    """Hides the values of `name=value` pairs with secret names."""
    if not _may_name_a_secret(text.lower()):
        return text
    return apply_edits(text, _find_values(text, context.keys, _NAME), seam)


def hide_flags(text: str, context: Context, seam: Seam | None) -> str:
    """Hides the values of command-line flags with secret names: `--password hunter2`."""
    return apply_edits(text, _find_values(text, context.keys, _FLAG), seam)


def hide_elements(text: str, context: Context, seam: Seam | None) -> str:
    """Hides the contents of XML elements with secret names."""
    return apply_edits(text, _find_elements(text, context.keys), seam)


def _may_name_a_secret(lowered: str) -> bool:
    for hint in names.HINTS:  # noqa: SIM110 - any() costs three times as much
        if hint in lowered:
            return True
    return False


def _find_elements(text: str, keys: KeyRules) -> list[Edit]:
    edits: list[Edit] = []
    unclosed: set[str] = set()
    position = 0
    while (element := _ELEMENT.search(text, position)) is not None:
        position = element.end()
        name, local = element.groups()
        if keys.kind(local) in (Kind.PLAIN, Kind.EMAIL) or name in unclosed:
            continue
        end = text.find(f"</{name}", position)
        if end < 0:
            unclosed.add(name)
        elif text[position:end].strip() not in ("", REDACTED) and not _is_placeholder(local, text[position:end]):
            edits.append(Edit(position, end, REDACTED))
            position = end
    return edits


def _find_values(text: str, keys: KeyRules, pattern: re.Pattern[str]) -> list[Edit]:
    edits: list[Edit] = []
    position = 0
    while (match := pattern.search(text, position)) is not None:
        position = match.end()
        name, kind = _classify(match, text, keys)
        if kind is Kind.PLAIN or kind is Kind.EMAIL or not _precedes_a_secret(match, text):
            continue
        end, replacement = _replace_value(text, position, name, kind, keys)
        if replacement is not None:
            edits.append(Edit(position, end, replacement))
        position = end
    return edits


def _classify(match: re.Match[str], text: str, keys: KeyRules) -> tuple[str, Kind]:
    """The name in a match, and its kind."""
    name: str = match.group(1)
    kind = keys.kind(name)
    start = match.start()
    previous = text[start - 1 : start] if start else ""
    if previous == "%" and name[:2] in ("22", "27", "5B", "5b", "7B", "7b"):  # an encoded quote or bracket
        name = name[2:]
        kind = keys.kind(name)
    elif kind is Kind.PLAIN and (previous == "?" or previous == "&") and is_secret_parameter(name):
        kind = Kind.SECRET
    return name, kind


def _precedes_a_secret(match: re.Match[str], text: str) -> bool:
    """False for the host of a URL, an item of a list, and a value that is redacted already."""
    if text.endswith(("//", "@"), 0, match.start()) and _PORT.match(text, match.end()):
        return False  # the host of a URL may have any name
    return not _is_listed(text, match) and not _REDACTED.match(text, match.end())


def _is_listed(text: str, match: re.Match[str]) -> bool:
    """Whether a comma after the name only separates it from the next word of a list, such as the columns of a table."""
    joint = text[match.end(1) : match.end()]
    if "," not in joint or text.startswith(("b'", 'b"'), match.end()):
        return False
    return not any(
        _PAIR.match(text, start) for start in range(max(0, match.start() - 4), match.start()) if text[start] in "(["
    )


def _replace_value(text: str, start: int, name: str, kind: Kind, keys: KeyRules) -> tuple[int, str | None]:
    """The end of the value that begins at `start`, and what replaces it: None where it holds no secret."""
    value = (_LINE_VALUE if kind is Kind.LINE else _VALUE).match(text, start)
    end = _end_of_bracket(text, start)
    if end > start:
        if _holds_only_numbers(text[start:end], kind, keys) or _is_placeholder(name, text[start:end]):
            return end, None
        return max(end, value.end()) if kind is Kind.LINE and value is not None else end, REDACTED
    if value is None or _is_placeholder(name, value.group()):
        return start, None
    return value.end(), _quote_like(value.group())


def _end_of_bracket(text: str, start: int) -> int:
    """The end of a list, map, tuple or call that begins at `start`, else `start`. Unclosed, it ends the text."""
    opening = _BRACKET.match(text, start)
    if opening is None:
        return start
    depth = 0
    for part in _BRACKETS[opening.group(1)].finditer(text, opening.end() - 1):
        if part.lastgroup == "begin":
            depth += 1
        elif part.lastgroup == "end":
            depth -= 1
            if not depth:
                continued = _CONTINUED.match(text, part.end())
                return continued.end() if continued is not None else part.end()
    return len(text)


def _holds_only_numbers(value: str, kind: Kind, keys: KeyRules) -> bool:
    """Whether a value in brackets holds nothing but numbers and booleans, and no number that is itself a secret."""
    if kind is Kind.TYPED or _NUMBERS.fullmatch(value) is None:
        return kind is Kind.TYPED and not value.strip("[](){} ")
    return not any(keys.kind(key) is Kind.TYPED for key in _KEY.findall(value))


def _is_placeholder(name: str, value: str) -> bool:
    """Whether `value` is a placeholder; one that has a name only where it is that of the column."""
    match = _PLACEHOLDER.fullmatch(value)
    if match is None:
        return False
    parameter = match.group(1) or match.group(2) or match.group(3)
    return parameter is None or parameter.startswith(name.rpartition(".")[2])


def _quote_like(value: str) -> str:
    """The mark, in the quotes of `value` if it has any."""
    unescaped = value.lstrip("\\")
    quote = value[: len(value) - len(unescaped)] + unescaped[:1]
    return f"{quote}{REDACTED}{quote}" if quote[-1] in "\"'" else REDACTED
