"""The measured process: one scenario in one variant. It reads JSON lines on stdin and answers on stdout."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any, cast, get_args

from checks.bench.instrumentation import Instrumentation, Mode, Variant
from checks.bench.scenarios import (
    Consume,
    Create,
    Process,
    Produce,
    Request,
    Scenario,
    ScenarioName,
    SpanLoop,
    Sql,
    VariedSpanLoop,
    trace_contexts,
)
from checks.bench.serve import Serve
from checks.bench.usage import resident_mib
from checks.bench.variants import load, versions


def build(name: ScenarioName, instrumentation: Instrumentation, mode: Mode, kafka: str) -> Scenario:
    """Return the scenario, ready to run."""
    traceparent = trace_contexts(sampled=mode == "on")
    match name:
        case "span":
            return SpanLoop(instrumentation)
        case "varied":
            return VariedSpanLoop(instrumentation)
        case "sql":
            return Sql(instrumentation)
        case "produce":
            return Produce(instrumentation, kafka)
        case "consume":
            return Consume(instrumentation, kafka, traceparent)
        case "request":
            return Request(instrumentation, traceparent)
        case "create":
            return Create(instrumentation, kafka, traceparent)
        case "process":
            return Process(instrumentation, kafka, traceparent)
        case "serve":
            return Serve(instrumentation)


def _answer(scenario: Scenario, order: Any) -> dict[str, Any]:
    """Return the answer to an order: a number of operations, a rate and seconds, or `memory`."""
    if order == "memory":
        return {"mib": resident_mib()}
    if isinstance(order, list):
        assert isinstance(scenario, SpanLoop)
        return asdict(scenario.run_at(*order))
    return asdict(scenario.run(order))


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m checks.bench.worker")
    parser.add_argument("scenario", choices=get_args(ScenarioName))
    parser.add_argument("variant", choices=get_args(Variant))
    parser.add_argument("mode", choices=get_args(Mode))
    parser.add_argument("--service", required=True)
    parser.add_argument("--receiver", required=True)
    parser.add_argument("--kafka", required=True)
    arguments = parser.parse_args()
    mode = cast(Mode, arguments.mode)
    variant = cast(Variant, arguments.variant)
    instrumentation = load(variant, mode, arguments.service, arguments.receiver)
    scenario = build(cast(ScenarioName, arguments.scenario), instrumentation, mode, arguments.kafka)
    print(json.dumps({"port": getattr(scenario, "port", None), "versions": versions(variant)}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_answer(scenario, order)), flush=True)
    os._exit(0)  # skips the shutdown: it is not measured, and no span is left


if __name__ == "__main__":
    main()
