"""`wct capacity plan`: what a stack needs for a load."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from contracts import secret_keys
from contracts.errors import UserError
from contracts.metadata import Manifest
from stack.capacity import report
from stack.capacity.figures import load as load_figures
from stack.capacity.plan import changed_config, plan
from stack.capacity.provider import load_provider
from stack.capacity.sizes import Conditions, Value
from stack.deploy.render import record
from stack.settings import PROJECT, effective_config, parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.tree import Load


def show_plan(
    console: Console,
    stack: str,
    *,
    traces_per_second: float | None,
    spans_per_trace: int | None,
    peak: float | None,
    retention: str | None,
    outage_hours: float,
    provider_file: Path | None,
    as_json: bool,
) -> None:
    """The command: print the plan.

    Args:
        console: where it is printed.
        stack: its name.
        traces_per_second: of the load; None: as in the settings, or the default of the setting. So are the next two.
        spans_per_trace: of the load.
        peak: load of the busiest minute, as a multiple.
        retention: of traces, logs and metrics, such as 336h.
        outage_hours: how long a store may be unavailable.
        provider_file: has prices and limits.
        as_json: whether JSON is printed.

    Raises:
        SettingsError: the stack does not exist, or a value cannot be used.
        UserError: a figure has not been measured, or the file of prices cannot be used.
    """
    provider, figures = load_provider(provider_file), load_figures()
    config = effective_config(stack) | ({f"{PROJECT}:retention": retention} if retention else {})
    options = {"tracesPerSecond": traces_per_second, "spansPerTrace": spans_per_trace, "peak": peak}
    section = (config.pop(f"{PROJECT}:load", None) or {}) | {
        name: value for name, value in options.items() if value is not None
    }
    settings = parse(config, f"Pulumi.{stack}.yaml")
    expected = _load(section, stack)
    secrets = {f"{PROJECT}:{key}": f"${{{key}}}" for key in needed_secrets(settings) if key in secret_keys.ALL}

    def render(values: Mapping[str, Value], of_cell: Load) -> list[Manifest]:
        return record(stack, changed_config(config, values, of_cell) | secrets).manifests

    conditions = Conditions(
        settings=settings, figures=figures, limits=provider.limits, outage_seconds=outage_hours * 3600
    )
    made = plan(expected, conditions, render, provider.prices)
    if as_json:
        print(json.dumps(report.document(made, figures, provider.prices), indent=1))
    else:
        report.show(made, figures, console, provider.prices)


def _load(section: Mapping[str, Any], stack: str) -> Load:
    if "tracesPerSecond" not in section:
        raise UserError(f"no load to plan for: use --load, or write the section load of stack {stack}")
    try:
        return Load.model_validate(section)
    except ValidationError as error:
        item = error.errors()[0]
        raise UserError(f"the load cannot be planned for: {item['loc'][0]}: {item['msg']}") from None
