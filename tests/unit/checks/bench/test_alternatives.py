"""The alternatives: their environment is pinned and theirs alone, and they take part where they trace."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from checks.bench.alternatives.environment import LOCK, AlternativesNotInstalled, interpreter
from checks.bench.alternatives.requests_only import SCENARIOS, RequestsOnly
from local.failure import Failure
from stack.settings import ROOT

PACKAGES = LOCK.with_suffix(".in")


def _pinned(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==([^\s;]+)", file.read_text(), re.MULTILINE))


def test_the_lock_has_the_pinned_packages_with_hashes() -> None:
    locked = _pinned(LOCK)
    assert _pinned(PACKAGES).items() <= locked.items()
    assert {"ddtrace", "logfire"} <= _pinned(PACKAGES).keys()
    for entry in re.split(r"\n(?=[a-z])", LOCK.read_text().strip()):
        assert "--hash=sha256:" in entry, entry


def test_the_application_is_the_same_in_both_environments() -> None:
    ours, theirs = _pinned(ROOT / "requirements.lock"), _pinned(LOCK)
    both = ours.keys() & theirs.keys()
    assert {"fastapi", "pydantic", "sqlalchemy", "confluent-kafka", "opentelemetry-sdk"} <= both
    assert {name: theirs[name] for name in both} == {name: ours[name] for name in both}


def test_the_project_itself_does_not_depend_on_the_alternatives() -> None:
    for file in ("requirements.lock", "service/requirements.lock", "package/requirements.lock"):
        assert not {"ddtrace", "logfire", "logfire-sdk"} & _pinned(ROOT / file).keys()


def test_renovate_and_make_lock_keep_the_pins() -> None:
    name = str(PACKAGES.relative_to(ROOT))
    patterns = json.loads((ROOT / "renovate.json").read_text())["pip_requirements"]["managerFilePatterns"]
    assert any(re.search(pattern.strip("/"), name) for pattern in patterns)
    recipe = (ROOT / "Makefile").read_text().partition("\nlock: ")[2]
    assert re.search(rf"cd {PACKAGES.parent.relative_to(ROOT)} .*{PACKAGES.name} -o {LOCK.name}\n", recipe)


def test_the_environment_has_a_name_and_a_lock_of_its_own(tmp_path: Path) -> None:
    asked: list[tuple[str, Path]] = []

    def install(name: str, lock: Path) -> Path:
        asked.append((name, lock))
        return tmp_path

    assert interpreter(install=install) == tmp_path / "python"
    assert asked == [("bench-alternatives", LOCK)]


def test_a_failed_installation_says_why_and_what_works_without_it() -> None:
    def install(_name: str, _lock: Path) -> Path:
        raise Failure("pip: no matching distribution found for ddtrace==4.16.0")

    with pytest.raises(
        AlternativesNotInstalled, match=r"no matching distribution.*\n.*without --alternatives"
    ) as error:
        interpreter(install=install)
    assert error.value.__suppress_context__


def test_an_alternative_refuses_what_it_does_not_trace() -> None:
    for refused in (
        lambda: RequestsOnly().engine(create_engine("sqlite://")),
        lambda: RequestsOnly().producer({}),
        lambda: RequestsOnly().consumer({}),
    ):
        with pytest.raises(RuntimeError, match=", ".join(SCENARIOS)):
            refused()
