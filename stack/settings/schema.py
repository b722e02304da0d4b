"""The JSON Schema of the stack files, with which editors complete and check them."""

from typing import Any

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.settings.tree import Settings


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a stack file."""
    tree = Settings.model_json_schema(by_alias=True)
    definitions = tree.pop("$defs")
    required = [f"{PROJECT}:{key}" for key in tree["required"]]
    properties = {f"{PROJECT}:{key}": value for key, value in tree["properties"].items()}
    for key in secret_keys.ALL:
        properties[f"{PROJECT}:{key}"] = {
            "description": "Secret; set with `pulumi config set --secret`, never written in clear.",
            "type": "object",
            "required": ["secure"],
            "properties": {"secure": {"type": "string"}},
            "additionalProperties": False,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Stack file of {PROJECT}",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": required,
                "properties": properties,
                "patternProperties": {f"^(?!{PROJECT}:)": {}},
                "additionalProperties": False,
            }
        },
        "$defs": definitions,
    }
