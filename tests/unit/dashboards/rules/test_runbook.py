"""Each runbook begins with a query that alert messages and `wct explain` can run."""

from pathlib import Path

import pytest

from dashboards.rules import runbook
from dashboards.rules.runbook import RUNBOOKS, first_query


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNBOOKS.glob("*.md")))
def test_the_diagnosis_begins_with_promql(name: str) -> None:
    assert first_query(name)


def test_the_first_query_is_that_of_the_diagnosis() -> None:
    assert first_query("DependencyFails").startswith("sort_desc(dependency_failed:rate1m")


def test_a_diagnosis_without_promql_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbook, "RUNBOOKS", tmp_path)
    block = "```promql\nup\n```\n"
    (tmp_path / "Broken.md").write_text(f"## Diagnosis\n1. Look.\n\n## Mitigation\n## Resolved when\n{block}")
    with pytest.raises(ValueError, match=r"Broken\.md: the diagnosis has no PromQL"):
        first_query("Broken")
    (tmp_path / "Right.md").write_text(f"## Diagnosis\n1. Look.\n{block}\n## Mitigation\n")
    assert first_query("Right") == "up"
