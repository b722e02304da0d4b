"""A mock of the Pulumi engine that records the resources which the program registers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc
from pulumi.runtime.mocks import MockMonitor


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A resource as the program registers it, without its inputs."""

    urn: str
    type: str
    name: str
    parent: str
    """URN."""
    dependencies: frozenset[str]
    """URNs of the resources that it needs."""
    aliases: frozenset[str]
    """Types of the resource in earlier versions of the program."""
    protected: bool
    ignored: tuple[str, ...]
    """Paths of inputs, such as `spec.replicas`, that others set once the resource exists."""


@dataclass
class Recorder(Mocks):
    """Records the resources. Each gets an id, and its inputs as its outputs."""

    resources: list[MockResourceArgs] = field(default_factory=list)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.resources.append(args)
        return f"{args.name}-id", args.inputs

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(f"the program calls {args.token}: a render has no provider that could answer")


class Monitor(MockMonitor):
    """Records what Pulumi does not pass to `Mocks`: dependencies, aliases, options and outputs of components."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.registrations: list[Registration] = []
        self.outputs: dict[str, Mapping[str, Any]] = {}
        """Registered outputs of each component, by its URN."""

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.registrations.append(
            Registration(
                urn=response.urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                dependencies=frozenset(request.dependencies),
                aliases=frozenset(alias.spec.type for alias in request.aliases if alias.spec.type),
                protected=request.protect,
                ignored=tuple(request.ignoreChanges),
            )
        )
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]
