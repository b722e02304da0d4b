"""Finds sections and fields of the settings by the names that stack files use."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from contracts.section import Section
from stack.settings.tree import Settings


def fields_of(section: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a section, by their names in stack files."""
    return {str(field.alias): field for field in section.model_fields.values()}


def fields_at(path: Sequence[int | str]) -> Mapping[str, FieldInfo]:
    """Return the fields of the section at a path of the tree; none if there is no section."""
    section: type[Section] | None = Settings
    for part in path:
        fields = fields_of(section) if section else {}
        section = _section_in(fields[str(part)].annotation) if str(part) in fields else None
    return fields_of(section) if section else {}


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section in an annotation such as `Sampling | None`."""
    types = get_args(annotation) or (annotation,)
    return next((item for item in types if isinstance(item, type) and issubclass(item, Section)), None)


@cache
def examples_by_pattern() -> Mapping[str, str]:
    """Return a text of the form of each pattern in the settings that has an example."""
    examples: dict[str, str] = {}

    def visit(schema: Any) -> None:
        if isinstance(schema, list):
            for item in schema:
                visit(item)
        elif isinstance(schema, dict):
            if isinstance(schema.get("pattern"), str) and schema.get("examples"):
                examples.setdefault(schema["pattern"], schema["examples"][0])
            visit([*schema.values()])

    visit(Settings.model_json_schema(by_alias=True))
    return examples


@cache
def setting_names() -> frozenset[str]:
    """Return the names of all settings, at any place of the tree."""
    return frozenset(name for section in _sections(Section) for name in fields_of(section))


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for subclass in section.__subclasses__():
        yield from _sections(subclass)
