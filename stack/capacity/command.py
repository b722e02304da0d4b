"""`wct capacity`: what a stack needs for a load, and how its queues fill while the store is unavailable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from contracts import secret_keys
from contracts.errors import UserError
from contracts.metadata import Manifest
from contracts.section import Retention
from stack.capacity import report
from stack.capacity.figures import load as load_figures
from stack.capacity.picture import picture_of
from stack.capacity.plan import Plan, cell_of, changed_config, plan
from stack.capacity.provider import Provider, load_provider
from stack.capacity.simulation import Simulated, model_of, simulate
from stack.capacity.sizes import Conditions, Value, with_values
from stack.deploy.render import record
from stack.settings import PROJECT, effective_config, parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.tree import Load

_RETENTION: Final = TypeAdapter[str](Retention)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is planned for; a part of the load that is None is that of the stack's settings."""

    stack: str
    traces_per_second: float | None = None
    spans_per_trace: int | None = None
    peak: float | None = None
    retention: str | None = None
    """Of traces, logs and metrics, such as 336h."""
    outage_hours: float = 1
    """How long a store may be unavailable."""
    provider_file: Path | None = None
    """Has prices and limits."""


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    config: Mapping[str, Any]
    conditions: Conditions
    load: Load
    provider: Provider


def show_plan(console: Console, request: Request, *, as_json: bool) -> None:
    """The command: print the plan.

    Args:
        console: where it is printed.
        request: what is planned for.
        as_json: whether JSON is printed.

    Raises:
        SettingsError: the stack does not exist, or a value cannot be used.
        UserError: a figure has not been measured, or the file of prices cannot be used.
    """
    made, inputs = _plan_of(request)
    figures, prices = inputs.conditions.figures, inputs.provider.prices
    if as_json:
        print(json.dumps(report.document(made, figures, prices), indent=1))
    else:
        report.show(made, figures, console, prices)


def needs_of(request: Request) -> list[tuple[str, ...]]:
    """Return the first table of a plan: a row for each quantity, with its name and a text for each load."""
    made, inputs = _plan_of(request)
    return report.needs(made.columns, inputs.provider.prices)


def _plan_of(request: Request) -> tuple[Plan, _Inputs]:
    inputs = _inputs(request)
    settings = inputs.conditions.settings
    secrets = {f"{PROJECT}:{key}": f"${{{key}}}" for key in needed_secrets(settings) if key in secret_keys.ALL}

    def render(values: Mapping[str, Value], of_cell: Load) -> list[Manifest]:
        planned = changed_config(inputs.config, values, of_cell)
        # Limits that leave no room for the least that a program needs.
        parse(planned, f"the plan for {of_cell.traces_per_second:g} traces/s")
        return record(request.stack, planned | secrets).manifests

    return plan(inputs.load, inputs.conditions, render, inputs.provider.prices), inputs


def show_simulation(
    console: Console,
    request: Request,
    *,
    skew: float,
    seed: int,
    is_at_peak: bool,
    picture: Path | None,
    as_json: bool,
) -> None:
    """The command: simulate an outage of the store in one of the cells of the plan, and print how queues filled.

    Args:
        console: where the result is printed.
        request: what is planned for, and the outage.
        skew: of the keys of messages; see `simulation.shares`.
        seed: of the keys.
        is_at_peak: whether the load is that of the busiest minute all the time.
        picture: file for the picture.
        as_json: whether JSON is printed.

    Raises:
        SettingsError: as `show_plan`.
        UserError: as `show_plan`.
    """
    simulated = simulation_of(request, skew=skew, seed=seed, is_at_peak=is_at_peak)
    if picture:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(picture_of(simulated))
    if as_json:
        print(json.dumps(report.simulation_document(simulated), indent=1))
    else:
        report.show_simulation(simulated, console)


def simulation_of(request: Request, *, skew: float, seed: int, is_at_peak: bool = False) -> Simulated:
    """Simulate an outage in a cell of the plan; arguments as `show_simulation`."""
    inputs = _inputs(request)
    cells, of_cell, needed = cell_of(inputs.load, inputs.conditions)
    model = model_of(of_cell, needed, inputs.conditions.figures, inputs.provider.limits, skew=skew, seed=seed)
    if is_at_peak:
        model = replace(model, arriving=model.arriving * inputs.load.peak)
    outage = inputs.conditions.outage_seconds
    return Simulated(
        load=inputs.load, cells=cells, model=model, outage_seconds=outage, result=simulate(model, outage_seconds=outage)
    )


def _inputs(request: Request) -> _Inputs:
    provider, figures, stack = load_provider(request.provider_file), load_figures(), request.stack
    config = dict(effective_config(stack))
    options = {
        "tracesPerSecond": request.traces_per_second,
        "spansPerTrace": request.spans_per_trace,
        "peak": request.peak,
    }
    section = (config.pop(f"{PROJECT}:load", None) or {}) | {
        name: value for name, value in options.items() if value is not None
    }
    settings = parse(config, f"Pulumi.{stack}.yaml")
    if request.retention is not None:
        # The volumes of the stack file may be too small for it; the plan says which ones it needs.
        settings = with_values(settings, {"retention": _retention(request.retention)})
        config[f"{PROJECT}:retention"] = request.retention
    conditions = Conditions(
        settings=settings,
        figures=figures,
        limits=provider.limits,
        outage_seconds=request.outage_hours * 3600,
    )
    return _Inputs(config=config, conditions=conditions, load=_load(section, stack), provider=provider)


def _retention(text: str) -> str:
    try:
        return _RETENTION.validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"the retention cannot be planned for: {reason}") from None


def _load(section: Mapping[str, Any], stack: str) -> Load:
    if "tracesPerSecond" not in section:
        raise UserError(f"no load to plan for: use --load, or write the section load of stack {stack}")
    try:
        return Load.model_validate(section)
    except ValidationError as error:
        item = error.errors()[0]
        raise UserError(f"the load cannot be planned for: {item['loc'][0]}: {item['msg']}") from None
