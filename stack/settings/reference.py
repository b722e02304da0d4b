"""docs/settings.md: every setting with its type, its default and its meaning, made from the JSON Schema."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.metadata import PROJECT
from stack.settings.schema import json_schema

PAGE: Final = Path("docs/settings.md")
_HEAD: Final = f"""# Settings

Made from the settings' schema by `make schema`; do not edit this page. A test compares both.

A setting is written into the stack's file (as `Pulumi.dev.yaml`) below `config:`, with the prefix
`{PROJECT}:` before its section: `kafka.brokers` is `brokers` in the section `{PROJECT}:kafka`.
`make config STACK=…` prints the values in effect, each with the line that it comes from.
A `?` after a type means that the setting may be left unset.
"""
_WIDTH: Final = 118
Schema = Mapping[str, Any]


def page() -> str:
    """Return the page as Markdown."""
    schema = json_schema()
    sections: Schema = schema["properties"]["config"]["properties"]
    lines = [_HEAD, "## Top level", ""]
    nested: list[str] = []
    for key, value in sections.items():
        name = key.removeprefix(f"{PROJECT}:")
        if _is_secret(value):
            continue
        if (definition := _definition(value, schema["$defs"])) is None:
            lines.append(_item(name, value, schema["$defs"]))
            continue
        nested += ["", f"## {name}", ""]
        for text in (definition.get("description"), value.get("description")):
            if text:
                nested += [*textwrap.wrap(" ".join(text.split()), _WIDTH, break_on_hyphens=False), ""]
        nested += _fields(name, definition, schema["$defs"], value.get("default"))
    secrets = [key.removeprefix(f"{PROJECT}:") for key, value in sections.items() if _is_secret(value)]
    nested += ["", "## Secrets", "", "Set with `pulumi config set --secret KEY`, never written in clear:", ""]
    nested += textwrap.wrap(", ".join(f"`{key}`" for key in secrets) + ".", _WIDTH, break_on_hyphens=False)
    return "\n".join([*lines, *nested]) + "\n"


def _is_secret(value: Schema) -> bool:
    return "secure" in value.get("properties", {})


def _fields(prefix: str, definition: Schema, definitions: Schema, defaults: Schema | None) -> Iterator[str]:
    """The settings of a section, and of the sections in it.

    `defaults` has the values of a section that is left out; they may differ from those of its type.
    """
    for key, field in definition["properties"].items():
        name = f"{prefix}.{key}"
        value = {**field, "default": defaults[key]} if defaults and key in defaults else field
        yield _item(name, value, definitions, required=key in definition.get("required", ()))
        inner = _definition(value, definitions)
        if inner is not None:
            yield from _fields(name, inner, definitions, value.get("default"))
            continue
        items = value.get("items", {})
        if (inner := _definition(items, definitions)) is not None:
            yield from _fields(f"{name}[]", inner, definitions, None)


def _definition(value: Schema, definitions: Schema) -> Schema | None:
    """Return the section that a value is, with its settings; None if it is none."""
    for choice in (value, *value.get("anyOf", ())):
        if "$ref" in choice:
            definition = _referenced(choice, definitions)
            return definition if "properties" in definition else None
    return None


def _referenced(value: Schema, definitions: Schema) -> Schema:
    definition: Schema = definitions[value["$ref"].rpartition("/")[2]]
    return definition


def _item(name: str, value: Schema, definitions: Schema, *, required: bool = False) -> str:
    """An item of the list, wrapped."""
    inner = _definition(value, definitions)
    meaning = " ".join((value.get("description") or (inner or {}).get("description") or "").split())
    default = ""
    if required:
        default = ", required"
    elif inner is None and value.get("default") not in (None, "", [], {}):
        default = f", default `{json.dumps(value['default'], ensure_ascii=False).strip(chr(34))}`"
    text = f"**`{name}`** ({_type(value, definitions)}{default})" + (f": {meaning}" if meaning else "")
    return textwrap.fill(text, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _type(value: Schema, definitions: Schema) -> str:
    """The type in a few words, with its limits."""
    choices = [choice for choice in value.get("anyOf", ()) if choice.get("type") != "null"]
    if "anyOf" in value:
        optional = "?" if len(choices) < len(value["anyOf"]) else ""
        return " or ".join(dict.fromkeys(_type(choice, definitions) for choice in choices)) + optional
    if "$ref" in value:
        return (
            "section" if _definition(value, definitions) else _type(definitions[value["$ref"].rpartition("/")[2]], {})
        )
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}), definitions)}"
    if value.get("type") == "object":
        return "mapping"
    limits = [
        f"{word} {value[key]}"
        for key, word in {
            "minimum": "from",
            "exclusiveMinimum": "above",
            "maximum": "to",
            "exclusiveMaximum": "below",
        }.items()
        if key in value
    ]
    kind = str(value.get("type", "any"))
    return " ".join([{"string": "text", "boolean": "true or false"}.get(kind, kind), *limits])
