"""ddtrace and Logfire as real programs, in the environment that the benchmark makes for them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from checks.bench.alternatives.environment import AlternativesNotInstalled, interpreter
from checks.bench.alternatives.requests_only import SCENARIOS
from checks.bench.command import measure
from checks.bench.figures import Results, delivered
from checks.bench.measure import ALTERNATIVES, BARE, STOCK
from checks.bench.report import show
from local.paths import HOME_VARIABLE
from tests.process.checks.bench.test_bench import TINY


def test_an_environment_that_cannot_be_installed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as on a machine that reaches no registry
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(AlternativesNotInstalled, match=r"(?s)cannot be installed: .*No matching distribution"):
        interpreter()


@pytest.fixture(scope="module")
def results() -> Results:
    size = replace(TINY, scenarios={"span": (3, 50), "varied": (3, 50), "request": (3, 20), "sql": (2, 5)})
    return measure(size, lambda _: None, interpreter())


@pytest.mark.nightly
@pytest.mark.parametrize("subject", ALTERNATIVES, ids=str)
def test_an_alternative_delivers_the_spans_that_stock_delivers(results: Results, subject: object) -> None:
    for name in SCENARIOS:
        series = results.scenarios[name]
        (measured,) = (each for each in series if each == subject)
        assert series[measured].ended > 0
        assert delivered(series, measured)
        assert series[measured].versions[measured.variant.removesuffix("-otlp")]
        # The application is the one of the variant without tracing.
        assert series[BARE].versions.items() <= series[measured].versions.items()
    assert subject in results.starts


@pytest.mark.nightly
def test_the_report_compares_the_alternatives(results: Results) -> None:
    assert not {*ALTERNATIVES} & set(results.scenarios["sql"])
    output = io.StringIO()
    show(results, Console(file=output, width=150))
    document = json.loads(json.dumps(results.document()))
    for subject in map(str, ALTERNATIVES):
        assert output.getvalue().count(f"added cost of {subject} / added cost of {STOCK}: ") == len(SCENARIOS)
        for name in SCENARIOS:
            assert document["alternatives"][name][subject].keys() >= {"stock", "ours"}
            assert document["delivered"][name][subject]
