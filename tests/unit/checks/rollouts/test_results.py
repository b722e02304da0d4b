"""The results of many rollouts, which ran in parts."""

from pathlib import Path

from checks.rollouts.results import Result, append, missing, read, summary


def result(scenario: str, *problems: str) -> Result:
    return Result(
        scenario=scenario, code=1, exposed_seconds=20, requests=900, failed=3, reason="errors", problems=list(problems)
    )


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / ".local" / "rollouts.jsonl"
    assert read(file) == []
    results = [result("good"), result("slow", "exit code 0, not 1")]
    for one in results:
        append(file, one)
    assert read(file) == results


def test_a_later_run_does_what_is_missing_and_all_scenarios_in_turn() -> None:
    results = [result("good"), result("good"), result("slow")]
    assert missing(["good", "slow"], {"good": 3, "slow": 3}, results) == ["slow", "good", "slow"]
    assert missing(["good", "slow"], {"good": 1, "slow": 1}, []) == ["good", "slow"]
    assert missing(["good"], {"good": 2}, results) == []


def test_the_table_counts_what_was_as_expected() -> None:
    table = summary([result("slow"), result("slow", "exposed for 130 s")])
    cells = [list(column.cells) for column in table.columns]
    assert [cell for (cell,) in cells[:3]] == ["slow", "2", "1"]
    assert cells[-1] == ["exposed for 130 s"]
