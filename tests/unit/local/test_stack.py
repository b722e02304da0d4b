"""What `make up` makes of the images that it could have, and in which order."""

import re
from pathlib import Path
from typing import Any

import pytest

from local import stack
from local.clusters import up
from local.clusters.choice import Machine
from local.failure import Failure
from local.images.resolve import Resolved
from local.stack import overlay
from stack.settings import PROJECT
from tests.support.command_line import wct


def images(**sources: Any) -> dict[str, Resolved]:
    pulled = dict.fromkeys(("tempo", "grafana", "loki", "alertmanager"), "pulled")
    every = {"service": "built"} | pulled | sources
    return {name: Resolved(reference=f"{name}:1", source=source) for name, source in every.items()}


def test_with_every_image_nothing_is_replaced() -> None:
    assert overlay(images(), Path("/k")) == {
        f"{PROJECT}:cluster": {"kubeconfig": "/k"},
        f"{PROJECT}:images": {"service": "service:1"},
    }


@pytest.mark.parametrize(
    ("sources", "section"),
    [
        ({"tempo": "unavailable"}, {"traces": {"backend": "jaeger"}}),
        ({"grafana": "unavailable"}, {"grafana": {"enabled": False}}),
        ({"loki": "later"}, {"logs": {"enabled": False}}),
        ({"alertmanager": "later"}, {"alerting": {"enabled": False}}),
    ],
)
def test_what_is_missing_is_replaced_or_left_out(sources: dict[str, str], section: dict[str, Any]) -> None:
    ((key, value),) = section.items()
    assert overlay(images(**sources), Path("/k"))[f"{PROJECT}:{key}"] == value


def test_an_image_that_the_stack_does_not_ask_for_is_no_missing_one() -> None:
    without = {name: image for name, image in images().items() if name not in ("loki", "alertmanager")}
    assert not {f"{PROJECT}:logs", f"{PROJECT}:alerting"} & overlay(without, Path("/k")).keys()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The patience of each time that everything was brought up; Loki is built in the patient ones."""
    patience: list[bool] = []

    def bring_up(cluster: object, nodes: int | None, *, patient: bool) -> dict[str, Resolved]:
        patience.append(patient)
        return images(loki="built" if patient else "later")

    monkeypatch.setattr(up, "look", Machine)
    monkeypatch.setattr(up, "require", lambda cluster, nodes: None)
    monkeypatch.setattr(stack, "_bring_up", bring_up)
    monkeypatch.setattr(stack, "print_addresses", lambda kubeconfig: print("addresses"))
    return patience


def test_what_takes_long_comes_after_a_stack_that_is_up(
    runs: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "left_for_later", lambda images: ["loki"])
    stack.up()
    assert runs == [False, True]
    output = capsys.readouterr().out
    assert output.index("addresses") < output.index("building loki now")


def test_once_it_is_built_everything_comes_at_once(runs: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "left_for_later", lambda images: [])
    stack.up()
    assert runs == [False]


def test_an_interrupted_build_keeps_the_running_stack(
    runs: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "left_for_later", lambda images: ["loki"])
    first = stack._bring_up

    def interrupted(cluster: object, nodes: int | None, *, patient: bool) -> dict[str, Resolved]:
        if patient:
            raise KeyboardInterrupt
        return first(cluster, nodes, patient=patient)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(stack, "_bring_up", interrupted)
    result = wct("up", "--cluster", "compiled")
    assert result.exit_code == 130
    assert "run the same command again" in result.stderr
    assert "addresses" in result.stdout


def test_a_build_that_fails_there_says_what_is_up_all_the_same(
    runs: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "left_for_later", lambda images: ["loki"])
    first = stack._bring_up

    def failing(cluster: object, nodes: int | None, *, patient: bool) -> dict[str, Resolved]:
        if patient:
            raise Failure("image/loki: no network")
        return first(cluster, nodes, patient=patient)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(stack, "_bring_up", failing)
    result = wct("up", "--cluster", "compiled")
    assert result.exit_code == 1
    assert re.search(r"(?s)no network.*was up without loki", result.stderr)
