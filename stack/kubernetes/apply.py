"""Server-side apply of the rendered program: the engine where there is no Pulumi CLI.

It applies the same objects and waits for the same workloads as `pulumi up`, and prunes what the program no longer
declares. A dry run of everything comes first, so that a refusal is known before anything is changed.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import kubernetes

from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.errors import DeployError
from stack.kubernetes import dry_run, volume_resize
from stack.kubernetes.autoscaling import Scaling, autoscalers
from stack.kubernetes.diagnosis import replace_backing_off_pods
from stack.kubernetes.failures import cluster_problem
from stack.kubernetes.inventory import prune, read_inventory, write_inventory
from stack.kubernetes.keys import object_key, object_name, object_names
from stack.kubernetes.objects import Objects, apply_object
from stack.kubernetes.order import service_groups
from stack.kubernetes.volume_growth import Growth
from stack.kubernetes.wait import wait_until_ready


def apply(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: list[Manifest],
    on_progress: Callable[[str], None],
    *,
    growths: Sequence[Growth] | None = None,
) -> None:
    """Applies the manifests, waits until all workloads are ready, and prunes what is no longer declared.

    Args:
        client: From `connect`.
        namespace: The stack's namespace.
        manifests: In the order in which they can be applied, the namespace first.
        on_progress: Takes a line of progress.
        growths: The volumes to enlarge first, from a dry run of the manifests. By default it is made here.

    Raises:
        DeployError: The API server would refuse an object, and nothing was changed; or an object did not become ready,
            or the cluster no longer answers. The message names what was changed until then. Nothing is pruned, and a
            second run continues from there.
    """
    progress = _Progress(declared=[object_name(manifest) for manifest in manifests])
    try:
        if growths is None:
            growths = dry_run.require_accepted(client, namespace, manifests)
        volume_resize.restore_field_owners(client, namespace)
        for growth in growths:
            progress.changed.append(f"the volumes of {growth.workload}")
            volume_resize.enlarge_volumes(client, namespace, growth, on_progress)
        _Run(client, namespace, on_progress, progress).apply_all(manifests)
    except DeployError as error:
        raise DeployError(f"{error}{progress}") from None
    except Exception as error:
        if (problem := cluster_problem(error)) is None:
            raise
        remedy = "Deploy again when the cause is gone: the next run continues from here"
        raise DeployError(f"{problem}. {remedy}{progress}") from error


@dataclass
class _Progress:
    """The names of the objects that a deployment has, and has not, reached."""

    declared: list[str]
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Empty before the first change."""
        if not self.changed:
            return ""
        remaining = [item for item in self.declared if item not in {*self.changed, *self.unchanged}]
        return (
            f"\n  changed before that: {', '.join(self.changed)}"
            f"\n  not reached: {', '.join(remaining) or 'nothing, all is applied'}"
            "\n  the next deployment continues from there"
        )


@dataclass(frozen=True)
class _Run:
    """One deployment of a namespace."""

    client: kubernetes.client.ApiClient
    namespace: str
    on_progress: Callable[[str], None]
    progress: _Progress

    def apply_all(self, manifests: list[Manifest]) -> None:
        objects = Objects(self.client, self.namespace)
        declared = {object_key(manifest) for manifest in manifests}
        self._apply_namespace(objects, manifests)
        previous = read_inventory(self.client, self.namespace)
        write_inventory(objects, previous | declared)
        # Pruned first: an autoscaler that is no longer declared would change the declared number of pods.
        removed = previous - declared
        prune(objects, {key for key in removed if key.kind == "HorizontalPodAutoscaler"}, self.on_progress)
        scaling = Scaling(objects, autoscalers(self.client, self.namespace, manifests))
        rest = manifests[1:]
        groups = service_groups(rest) if self._has_services() else [rest]
        count = 0
        for group in groups:
            changed = self._apply_group(objects, scaling, group)
            if changed:
                self.on_progress(f"changed {object_names(changed)}")
            if group is groups[0]:
                replace_backing_off_pods(self.client, self.namespace, self.on_progress)
            # The last wait is for all workloads: those that this run did not change may not be ready either.
            awaited = manifests if group is groups[-1] else changed
            wait_until_ready(self.client, self.namespace, awaited, self.on_progress)
            count += len(changed)
        self.on_progress(f"all {len(manifests)} objects are as declared, {count} had to change")
        prune(objects, removed, self.on_progress)
        write_inventory(objects, declared)

    def _apply_namespace(self, objects: Objects, manifests: list[Manifest]) -> None:
        """Applies the namespace, which the inventory and a dry run need."""
        namespace = manifests[0]
        is_new = objects.get(object_key(namespace)) is None
        self._apply_one(objects, namespace)
        if is_new:
            outcome = "Nothing but its namespace was made."
            dry_run.require_accepted(self.client, self.namespace, manifests, outcome=outcome)

    def _apply_group(self, objects: Objects, scaling: Scaling, group: Sequence[Manifest]) -> list[Manifest]:
        """Applies objects, those of one kind at the same time; returns those that this changed."""
        changed: list[Manifest] = []
        with ThreadPoolExecutor(dry_run.AT_ONCE) as threads:
            for _, same in itertools.groupby(group, lambda item: item["kind"]):
                items = list(same)
                prepared = [scaling.prepare(item, self.on_progress) for item in items]
                results = threads.map(functools.partial(self._apply_one, objects), prepared)
                changed += [item for item, is_changed in zip(items, results, strict=True) if is_changed]
        return changed

    def _apply_one(self, objects: Objects, manifest: Manifest) -> bool:
        """Applies an object and notes it; returns whether that changed it."""
        is_changed = apply_object(objects, manifest)
        (self.progress.changed if is_changed else self.progress.unchanged).append(object_name(manifest))
        return is_changed

    def _has_services(self) -> bool:
        """Whether a service runs that new pods could starve."""
        deployments = Objects(self.client, self.namespace).list_kind("apps/v1", "Deployment")
        return any(item["metadata"]["name"] in SERVICES for item in deployments)
