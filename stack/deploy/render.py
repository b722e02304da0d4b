"""Program → manifests: what the Pulumi program declares for a stack, without an engine and without a cluster."""

import argparse
import asyncio
import json
import runpy
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pulumi.runtime import MockResourceArgs, rpc, set_all_config, set_mocks
from pulumi.runtime.stack import run_pulumi_func

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.services.settings import Release
from stack.deploy import policy
from stack.deploy.mocks import Monitor, Recorder, Registration
from stack.settings import PROJECT, ROOT, SettingsError, effective_config, load

# Order in which objects are applied and printed: what others need comes first.
ORDER: Final = (
    "Namespace",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Service",
    "PodDisruptionBudget",
    "StatefulSet",
    "Deployment",
    "HorizontalPodAutoscaler",
)


@dataclass(frozen=True)
class Rendered:
    """What a program declares."""

    manifests: list[Manifest]
    """Kubernetes objects in the order in which they can be applied."""
    resources: list[MockResourceArgs]
    """All registered resources, components included."""
    registrations: list[Registration]
    """What hangs on what, in the order of the resources' URNs."""
    outputs: Mapping[str, Mapping[str, Any]]
    """Registered outputs of each component, by its URN."""


def record(stack: str, config: Mapping[str, Any]) -> Rendered:
    """Runs the program with the engine mocked.

    Args:
        stack: the stack's name.
        config: Pulumi configuration, `project:key` → text or object.
    """
    # Pulumi's runtime keeps its state in the current loop; each run gets a fresh one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    recorder = Recorder()
    monitor = Monitor(recorder)
    set_mocks(recorder, project=PROJECT, stack=stack, preview=False, monitor=monitor)
    keys = [f"{PROJECT}:{key}" for key in secret_keys.ALL]
    set_all_config({key: _text(value) for key, value in config.items()}, keys)

    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    try:
        loop.run_until_complete(run_pulumi_func(program))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    ignored = {(item.type, item.name): item.ignored for item in monitor.registrations}
    manifests: list[Manifest] = [
        _without(_plain(args.inputs), ignored[args.typ, args.name])
        for args in recorder.resources
        if "apiVersion" in args.inputs
    ]
    manifests.sort(key=lambda manifest: (ORDER.index(manifest["kind"]), manifest["metadata"]["name"]))
    registrations = sorted(monitor.registrations, key=lambda registration: registration.urn)
    return Rendered(manifests, recorder.resources, registrations, monitor.outputs)


def configuration(release: Release | None) -> dict[str, Any]:
    """The configuration of a stack half-way through a rollout, over that of its file."""
    return {f"{PROJECT}:release": release.model_dump(by_alias=True, exclude_none=True)} if release else {}


def render(
    stack: str, secret_values: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
) -> list[Manifest]:
    """The manifests of a stack.

    Args:
        stack: the stack's name.
        more: configuration over that of the stack's file, `project:key` → value.
        secret_values: the secrets by key; without them a Secret holds references such as `${postgresPassword}`,
            so that manifests can be reviewed and committed.

    Raises:
        SettingsError: no such stack, or settings that cannot be used.
    """
    settings = load(stack)  # the engine would wrap a settings error in a traceback of its own
    values = secret_values or {
        key: f"${{{key}}}" for key in (*secret_keys.GENERATED, *settings.alerting.needed_secrets)
    }
    config = (
        effective_config(stack)
        | dict(more or {})
        | {f"{PROJECT}:{key}": values[key] for key in secret_keys.ALL if key in values}
    )
    return record(stack, config).manifests


def _text(value: Any) -> str:
    """Configuration values as the engine passes them: structured ones as JSON (which YAML's flow style is not)."""
    return value if isinstance(value, str) else json.dumps(value)


def _without(manifest: Manifest, paths: Iterable[str]) -> Manifest:
    """A manifest without what somebody else decides: applied again and again, it would undo that each time."""
    for path in paths:
        *above, last = path.split(".")
        inside = manifest
        for part in above:
            inside = inside[part]
        del inside[last]
    return manifest


def _plain(value: Any) -> Any:
    """Without the engine's wrappers and with the whole numbers that its wire format turned into floats."""
    match value:
        # A secret on the wire: {signature: …, value: …}.
        case {rpc._special_sig_key: _, "value": secret}:
            return _plain(secret)
        case dict():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class _Dumper(yaml.SafeDumper):
    """Multi-line text as blocks, so that a ConfigMap's files can be read and compared."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml(manifests: list[Manifest]) -> str:
    """The manifests as one deterministic YAML stream, without instructions to Pulumi, which nobody else follows."""
    plain = [without_instructions(manifest) for manifest in manifests]
    return yaml.dump_all(plain, Dumper=_Dumper, sort_keys=True, explicit_start=True, width=1000)


def without_instructions(manifest: Manifest) -> Manifest:
    """A manifest without its annotations for Pulumi's provider."""
    metadata = dict(manifest["metadata"])
    annotations = metadata.pop("annotations", {})
    if kept := {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}:
        metadata["annotations"] = kept
    return {**manifest, "metadata": metadata}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stack.deploy.render", description="Write the manifests of a stack."
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    arguments = parser.parse_args()
    try:
        manifests = render(arguments.stack)
        policy.refuse(manifests)
        text = as_yaml(manifests)
    except (SettingsError, policy.PolicyError) as error:
        raise SystemExit(f"error: {error}") from None
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text)
        print(f"{arguments.output}: {text.count(chr(10) + '---') + 1} objects")


if __name__ == "__main__":
    main()
