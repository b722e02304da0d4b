"""Settings read from environment variables: typed, frozen, and refused at the start with one message if wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar, get_args
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound="EnvironmentSettings")

_HIDDEN: Final = "(hidden)"
_MAX_SHOWN: Final = 200


@dataclass(frozen=True)
class Synonym:
    """In a field's annotation: another variable that sets the field where no earlier one does.

    Attributes:
        variable: its name.
        signal: `traces` or `logs` where it sets that signal alone.
        first: it goes before the field's own variable.
    """

    variable: str
    signal: str = ""
    first: bool = False


class SettingsError(ValueError):
    """A service cannot start with its environment; the message names each wrong variable, its value and the range."""


class EnvironmentSettings(BaseModel):
    """Base of all settings: a field's alias is its environment variable, its description the range that it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None) -> Self:
        """Reads the settings from environment variables.

        Args:
            environ: the variables; None takes those of the process. An empty one counts as unset, as OpenTelemetry
                prescribes.
            defaults: values by variable, for variables that are not set.

        Raises:
            SettingsError: one message with every wrong variable.
        """
        return read(cls, os.environ if environ is None else environ, defaults or {})

    def to_env(self) -> dict[str, str]:
        """The variables from which `from_env` reads these settings; fields that were never set have none."""
        return {
            field.alias or name: _text_of(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name in self.model_fields_set and getattr(self, name) is not None
        }

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        return cls.model_fields[field].alias or field

    @classmethod
    def constraints(cls, field: str) -> tuple[Any, ...]:
        """The limits and validators of a field, for the annotation of the same field in another model."""
        return tuple(data for data in cls.model_fields[field].metadata if not isinstance(data, Synonym))


def variables_of(variable: str, field: FieldInfo, signal: str = "") -> list[str]:
    """The variables that set a field, first the one that wins.

    Args:
        variable: the field's own.
        field: may have synonyms.
        signal: `traces` or `logs`; "" takes the variables of both.
    """
    synonyms = [data for data in field.metadata if isinstance(data, Synonym)]
    if signal:
        synonyms = [synonym for synonym in synonyms if synonym.signal in ("", signal)]
    first = [synonym.variable for synonym in synonyms if synonym.first]
    return [*first, variable, *(synonym.variable for synonym in synonyms if not synonym.first)]


def read(model: type[Model], environ: Mapping[str, str], defaults: Mapping[str, str], signal: str = "") -> Model:
    """Return a model from the environment; see `EnvironmentSettings.from_env`, and `variables_of` for `signal`."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    values: dict[str, str] = {}
    sources: dict[str, str] = {}  # the variable that a value came from, which may be a synonym
    for variable, field in fields.items():
        for source in (environ, defaults):
            names = variables_of(variable, field, signal)
            name = next((name for name in names if source.get(name, "").strip()), None)
            if name is not None and variable not in values:
                values[variable], sources[variable] = source[name].strip(), name
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_describe(error, fields, values, sources)) from None


def _describe(
    error: ValidationError, fields: Mapping[str, FieldInfo], values: Mapping[str, str], sources: Mapping[str, str]
) -> str:
    """One message with every problem, one a variable, even if several of its parts are wrong."""
    problems: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        if problem["type"] == "default_factory_not_called":  # a consequence of another wrong value
            continue
        variable = str(problem["loc"][0]) if problem["loc"] else ""
        if variable not in fields:
            problems[problem["msg"]] = problem["msg"].removeprefix("Value error, ")
        elif variable not in values:
            problems[variable] = f"{variable} is not set: expected {fields[variable].description or problem['msg']}"
        else:
            shown = _shown(fields[variable], values[variable])
            text = f"{sources[variable]}={shown} is not valid: expected {fields[variable].description}"
            reason = problem.get("ctx", {}).get("error")
            problems[variable] = f"{text} ({reason})" if reason and shown != _HIDDEN else text
    return "; ".join(dict.fromkeys(problems.values()))


def _shown(field: FieldInfo, value: str) -> str:
    """`value` as a message may show it: without secrets, wrong ones included, and without credentials in a URL."""
    if _holds_secret(field.annotation) or ("://" in value and "@" in value):
        return _HIDDEN
    return repr(value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}...")


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _text_of(value: object) -> str:
    """A field's value as the text of its variable."""
    match value:
        case bool():
            return "true" if value else "false"
        case SecretStr():
            return value.get_secret_value()
        case str() | int() | float() | Path():
            return str(value)
        case Mapping():
            return ",".join(
                f"{quote(str(key), safe='')}={quote(_text_of(item), safe='')}" for key, item in value.items()
            )
        case tuple():
            return ",".join(map(str, value)) or "none"
    raise TypeError(f"{type(value).__name__} has no text as an environment variable")
