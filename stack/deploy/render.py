"""Renders the Pulumi program to manifests, without an engine and without a cluster."""

import asyncio
import contextlib
import json
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import yaml
from pulumi.runtime import MockResourceArgs, rpc, set_all_config, set_mocks
from pulumi.runtime.stack import run_pulumi_func

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.services.settings import Release
from stack.deploy.mocks import Monitor, Recorder, Registration
from stack.kubernetes import order
from stack.settings import PROJECT, ROOT, effective_config, load
from stack.settings.missing_secrets import needed_secrets


@dataclass(frozen=True)
class Rendered:
    """The declarations of the program."""

    manifests: list[Manifest]
    """Kubernetes objects in the order in which they can be applied."""
    resources: list[MockResourceArgs]
    """All registered resources, with components."""
    registrations: list[Registration]
    """How the resources depend on one another, in the order of their URNs."""
    outputs: Mapping[str, Mapping[str, Any]]
    """Registered outputs of each component, by its URN."""


def run_program() -> None:
    """Runs the project's program with the engine, or the mock, of this context."""
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def record(stack: str, config: Mapping[str, Any], program: Callable[[], None] = run_program) -> Rendered:
    """Runs a program with a mock of the engine.

    Args:
        stack: The stack's name.
        config: Pulumi configuration, `project:key` → text or object.
        program: By default the project's own program.
    """
    with _event_loop() as loop:
        recorder = Recorder()
        monitor = Monitor(recorder)
        set_mocks(recorder, project=PROJECT, stack=stack, preview=False, monitor=monitor)
        keys = [f"{PROJECT}:{key}" for key in secret_keys.ALL]
        set_all_config({key: _text(value) for key, value in config.items()}, keys)
        loop.run_until_complete(run_pulumi_func(program))
    ignored = {(item.type, item.name): item.ignored for item in monitor.registrations}
    manifests: list[Manifest] = [
        _without_fields(_plain(args.inputs), ignored[args.typ, args.name])
        for args in recorder.resources
        if "apiVersion" in args.inputs
    ]
    manifests.sort(key=lambda manifest: (order.KINDS.index(manifest["kind"]), manifest["metadata"]["name"]))
    registrations = sorted(monitor.registrations, key=lambda registration: registration.urn)
    return Rendered(manifests, recorder.resources, registrations, monitor.outputs)


@contextlib.contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Yields a new current event loop: Pulumi's runtime keeps its state there, so each run of a program needs its own.

    Pulumi's mocks make a loop for each of the threads too, and leave it open; these threads have theirs already.
    """
    loops = [asyncio.new_event_loop()]

    def begin_thread() -> None:
        own = asyncio.new_event_loop()
        loops.append(own)
        asyncio.set_event_loop(own)

    threads = ThreadPoolExecutor(initializer=begin_thread)
    loops[0].set_default_executor(threads)
    asyncio.set_event_loop(loops[0])
    try:
        yield loops[0]
    finally:
        threads.shutdown()
        asyncio.set_event_loop(None)
        for loop in loops:
            loop.close()


def release_config(release: Release | None) -> dict[str, Any]:
    """The configuration that a rollout adds to a stack file; empty without a rollout."""
    return {f"{PROJECT}:release": release.model_dump(by_alias=True, exclude_none=True)} if release else {}


def render(
    stack: str, secret_values: Mapping[str, str] | None = None, extra_config: Mapping[str, Any] | None = None
) -> list[Manifest]:
    """Renders the manifests of a stack.

    Args:
        stack: The stack's name.
        secret_values: The secrets by key. Without them the Secret holds references such as `${postgresPassword}`, so
            that the manifests can be reviewed and committed.
        extra_config: Configuration over that of the stack file, `project:key` → value.

    Raises:
        SettingsError: The stack does not exist, or its settings cannot be used.
    """
    settings = load(stack)  # inside the program Pulumi would wrap a settings error in a traceback
    values = secret_values or {key: f"${{{key}}}" for key in needed_secrets(settings)}
    config = (
        effective_config(stack)
        | dict(extra_config or {})
        | {f"{PROJECT}:{key}": values[key] for key in secret_keys.ALL if key in values}
    )
    return record(stack, config).manifests


def _text(value: Any) -> str:
    """A configuration value as the engine passes it: structured values are JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _without_fields(manifest: Manifest, paths: Iterable[str]) -> Manifest:
    """A manifest without fields that others set once the object exists: applying them would undo that each time."""
    for path in paths:
        *parents, field = path.split(".")
        parent = manifest
        for part in parents:
            parent = parent[part]
        del parent[field]
    return manifest


def _plain(value: Any) -> Any:
    """A value without the engine's wrappers; whole numbers, which its wire format turns into floats, are integers."""
    match value:
        # The wire format of a secret: {signature: …, value: …}.
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


class _Dumper(yaml.CSafeDumper):
    """Writes multi-line texts as blocks, so that the files in a ConfigMap can be read and compared."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml(manifests: Iterable[Manifest]) -> str:
    """The manifests as one deterministic YAML stream, without the annotations that only Pulumi reads."""
    plain = [without_pulumi_annotations(manifest) for manifest in manifests]
    return yaml.dump_all(plain, Dumper=_Dumper, sort_keys=True, explicit_start=True, width=1000, allow_unicode=True)


def without_pulumi_annotations(manifest: Manifest) -> Manifest:
    """A manifest without the annotations that Pulumi's provider reads."""
    metadata = dict(manifest["metadata"])
    annotations = metadata.pop("annotations", {})
    if kept := {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}:
        metadata["annotations"] = kept
    return {**manifest, "metadata": metadata}
