"""Stacks without services: the pipeline alone."""

from typing import Any

import pulumi
import pytest

from contracts import secret_keys
from contracts.metadata import PROJECT
from stack.deploy.render import Rendered, record
from stack.program import build
from stack.settings import SettingsError, parse
from tests.support.program import pipeline_config, recorded


def _made(**sections: Any) -> Rendered:
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    return recorded("test", pipeline_config(**sections) | secrets)


def _workloads(**sections: Any) -> set[str]:
    made = _made(**sections)
    return {item["metadata"]["name"] for item in made.manifests if item["kind"] in ("Deployment", "StatefulSet")}


def test_the_stack_is_the_pipeline_alone() -> None:
    assert _workloads() == {"alertmanager", "collector", "grafana", "loki", "prometheus", "tempo"}


def test_kafka_is_part_of_it_if_spans_pass_through_it() -> None:
    assert {"kafka", "sampler"} <= _workloads(collector={"sampling": {"ratio": 0.1}})


def test_the_receivers_address_takes_the_place_of_the_gateways() -> None:
    outputs: dict[str, pulumi.Output[str]] = {}

    def program() -> None:
        secrets = {key: pulumi.Output.secret("value") for key in secret_keys.GENERATED}
        outputs.update(build(parse(pipeline_config(), "test"), secrets))

    record("test", {}, program)
    assert "otlp" in outputs
    assert "gateway" not in outputs
    assert {"traces", "logs"} <= set(outputs)


def test_a_store_that_only_receives_has_no_address_for_queries() -> None:
    outputs: dict[str, pulumi.Output[str]] = {}
    receiver = {"external": {"otlpUrl": "https://otlp.example.com:4317"}}

    def program() -> None:
        secrets = {key: pulumi.Output.secret("value") for key in secret_keys.GENERATED}
        outputs.update(build(parse(pipeline_config(traces=receiver, logs=receiver), "test"), secrets))

    record("test", {}, program)
    assert not {"traces", "logs"} & set(outputs)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"probe": {"enabled": True}}, "probe.enabled sends requests to the gateway, but the stack has no services"),
        (
            {"ingress": {"tls": {"secret": "s"}, "taskApi": {"host": "a.example.com", "reason": "for the tests"}}},
            "ingress.taskApi opens the gateway, but the stack has no services",
        ),
    ],
)
def test_what_needs_services_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(pipeline_config(**sections), "test")


def test_a_stack_with_services_needs_their_image() -> None:
    config = pipeline_config()
    del config[f"{PROJECT}:services"]
    with pytest.raises(SettingsError, match=r"images\.service is missing"):
        parse(config, "test")
