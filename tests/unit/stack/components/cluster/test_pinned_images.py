"""A recorded digest reaches every pod of its image; the file has digests of the stack's images alone."""

import pytest

from contracts import digests, versions
from stack.settings import load
from tests.support.program import dev_with

DIGEST = f"sha256:{'0f' * 32}"


def images(**cluster: object) -> set[str]:
    made = dev_with(cluster={"context": "dev", **cluster}).values()
    pods = [item["spec"]["template"]["spec"] for item in made if item["kind"] in ("Deployment", "StatefulSet")]
    return {item["image"] for pod in pods for item in (*pod["containers"], *pod.get("initContainers", []))}


def test_images_with_a_recorded_digest_have_it_in_every_container(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {versions.KAFKA: DIGEST, versions.PYTHON: DIGEST}
    monkeypatch.setattr(digests, "recorded", lambda: known)
    named = images(dns={"ports": [53]})
    assert {f"{reference}@{DIGEST}" for reference in known} <= named
    assert named.isdisjoint(known)
    assert versions.GRAFANA in named


def test_without_the_setting_the_tags_stay_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "recorded", lambda: dict.fromkeys(versions.IMAGES.values(), DIGEST))
    named = images(imageDigests=False)
    assert versions.KAFKA in named
    assert not any("@" in reference for reference in named)
    assert not load("local").cluster.image_digests


def test_the_file_has_digests_of_images_that_the_stack_runs() -> None:
    known = digests.recorded()
    assert known.keys() <= set(versions.IMAGES.values()), "`make digests` removes those of earlier versions"
    assert all(digests.FORM.fullmatch(value) for value in known.values())
