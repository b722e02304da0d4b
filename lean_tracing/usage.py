"""The text of `--help`: the environment variables of a program, from the models that read them."""

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from lean_tracing.environment import EnvironmentSettings


def usage(command: str, summary: str, *models: type[EnvironmentSettings]) -> str:
    """The usage of `command`: each variable with its accepted values and its default."""
    rows = [
        (field.alias or name, field.description or "", _default(field))
        for model in models
        for name, field in model.model_fields.items()
    ]
    width = max(len(name) for name, _, _ in rows)
    lines = [f"  {name:<{width}}  {description} ({default})" for name, description, default in rows]
    return "\n".join([f"usage: {command}", "", f"{summary} Environment variables:", *lines])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ("", {}, (), frozenset()) or isinstance(value, SecretStr):
        return "default: none"
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"default: {value}"
