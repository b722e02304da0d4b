"""Turns pydantic's validation errors into plain sentences that name the key, its value and what is allowed.

A value that may be a secret is never part of a message: messages end up in logs.
"""

import difflib
import json
import re
from typing import Any, Final

from pydantic.fields import FieldInfo

from contracts.metadata import PROJECT
from stack.settings import exposed_secrets
from stack.settings.lookup import examples_by_pattern, fields_at

_NOT_SHOWN: Final = "(value not shown)"
_NUMBER: Final = re.compile(r"[+-]?\d[\d.,_]{0,11} ?[A-Za-z%]{0,5}")
"""A number, quantity or duration, with a unit of any kind."""
_WORDS: Final = re.compile(r"(?![^\s]{25})(?:https?://)?(?:[A-Za-z]*|s3)(?:[ ._/:-][A-Za-z]+){0,5}/?")
"""A few words without a digit: a name, a host, an address."""
_MISTYPED: Final = {
    "string_pattern_mismatch": _WORDS,
    "string_too_short": _WORDS,
    "string_too_long": _WORDS,
    "literal_error": re.compile(r"[A-Za-z]{1,12}"),
    "bool_type": re.compile(r"(?i)true|false|yes|no|on|off|enabled|disabled|[01]"),
    "value_error": re.compile(rf"{_NUMBER.pattern}|(?:[A-Z]{{1,7}} )?/[^\s=]*=\S*|topic:[^\s=]*=\S*"),
}
"""By type of error: texts that can only be a mistyped value, and so can be shown. For other types: `_NUMBER`."""
_KEY_OF_A_MAPPING: Final = "[key]"
"""What pydantic adds to the path of a mapping's key; the path has the key already."""
_LIMITS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def describe(error: Any) -> str:
    """Return the sentence for one of the errors of a pydantic ValidationError."""
    *path, last = [part for part in error["loc"] if part != _KEY_OF_A_MAPPING] or ["settings"]
    key = ".".join(map(str, (*path, last)))
    fields = fields_at(path)
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {_hint_for_unknown_key(error, path, fields)}"
        case "missing":
            return f"{key}: missing"
        case "value_error":
            message = str(error["ctx"]["error"])
            if isinstance(error["input"], str) and not _may_be_shown(error, fields.get(last)):
                message = re.sub(r"""(['"]).*\1""", _NOT_SHOWN, message, flags=re.DOTALL)
            return f"{key}: {message}" if error["loc"] else message
        case _:
            value = repr(error["input"]) if _may_be_shown(error, fields.get(last)) else _NOT_SHOWN
            hint = _hint_for_type(error, fields[last]) if last in fields else _hint_for_item(error)
            return f"{key}: {value}: {_expectation(error, fields.get(last))}{hint}"


def _expectation(error: Any, field: FieldInfo | None) -> str:
    """Return what a value should be: an example is clearer than a pattern, and YAML has no tuples."""
    if error["type"] == "string_pattern_mismatch":
        general = examples_by_pattern().get(error["ctx"]["pattern"])
        if example := field.examples[0] if field and field.examples else general:
            return f"should have the form of {example!r}"
    if error["type"].startswith(("model", "dict")) and error["type"].endswith("_type"):
        return "input should be a mapping"
    message = str(error["msg"]).replace("valid tuple", "list")
    return message[0].lower() + message[1:]


def describe_without_prefix(key: str, value: Any) -> str:
    """Return the sentence for a key that lacks the project's prefix, so that no program reads it."""
    form = written_form(key.rpartition(":")[2], value)
    return f"{key}: has no effect without the prefix `{PROJECT}:`; write {form}"


def written_form(key: str, value: Any) -> str:
    """Return how `section.key` is written in a stack file."""
    section, *names = key.split(".")
    text = "{…}" if isinstance(value, dict) else "…"
    is_plain = isinstance(value, bool | int | float) or re.fullmatch(r"\d+[A-Za-z]{0,2}", str(value))
    if is_plain and exposed_secrets.may_be_shown((key, section, *names), value):
        text = json.dumps(value)
    for name in reversed(names):
        text = f"{{{name}: {text}}}"
    return f"`{PROJECT}:{section}: {text}`"


def _may_be_shown(error: Any, field: FieldInfo | None) -> bool:
    """Return whether the value can be a mistyped one of its key's type; any other may be a secret."""
    value, kind = error["input"], error["type"]
    if isinstance(value, str):
        is_number = field and field.examples and str(field.examples[0])[0].isdigit()
        form = _NUMBER if is_number and kind != "value_error" else _MISTYPED.get(kind, _NUMBER)
        return bool(form.fullmatch(value)) and exposed_secrets.may_be_shown(error["loc"], value)
    # A number in the place of a section may be a secret as well.
    return isinstance(value, int | float) and not kind.startswith(("model", "dict", "tuple"))


def _hint_for_unknown_key(error: Any, path: list[int | str], fields: Any) -> str:
    name = str(error["loc"][-1])
    if "." in name and not path:
        return f"write {written_form(name, error['input'])}"
    hint = "`./wct schema` lists the known ones"
    if nearest := difflib.get_close_matches(name, fields, n=1):
        return f"did you mean {'.'.join(map(str, (*path, *nearest)))}? {hint}"
    return hint


def _hint_for_item(error: Any) -> str:
    """Return how a number is written as a text in a mapping or a list."""
    value = error["input"]
    return f"; write it in quotes: '{value}'" if error["type"] == "string_type" and isinstance(value, int) else ""


def _hint_for_type(error: Any, field: FieldInfo) -> str:
    """Return what a value of the wrong type should be: a number within limits, or a text with its unit."""
    value = error["input"]
    if error["type"] in ("int_type", "float_type"):
        limits = {name: getattr(item, name) for item in field.metadata for name in _LIMITS if hasattr(item, name)}
        unit = " of bytes, without a unit" if str(field.alias).endswith("Bytes") else ""
        return "".join([unit, *(f", {_LIMITS[name]} {limit}" for name, limit in limits.items())])
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if error["type"] == "string_type" and is_number and field.examples and str(field.examples[0])[0].isdigit():
        unit = re.sub(r"^\d+", "", str(field.examples[-1]))
        return f" with a unit, such as {value}{unit}" if unit else f", such as {field.examples[0]}"
    return ""
