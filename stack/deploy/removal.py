"""Plans the removal of a stack, and carries it out."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from contracts.errors import UserError
from contracts.metadata import PROTECTED, Manifest
from stack.kubernetes import order
from stack.kubernetes.inventory import INVENTORY_KEY
from stack.kubernetes.keys import ObjectKey, object_key, object_name
from stack.kubernetes.namespace import namespace_key
from stack.kubernetes.ownership import Ownership, identity, sort_by_owner
from stack.kubernetes.wait import wait_while

_STRAGGLERS_SECONDS: Final = 15


class DestroyError(UserError):
    """The stack, or a part of it, still exists; the message gives the reason."""


class RemovableObjects(Protocol):
    """The objects of a namespace: `Objects`."""

    def list_all(self) -> tuple[list[Manifest], list[str]]: ...

    def get(self, key: ObjectKey) -> Manifest | None: ...

    def delete(self, key: ObjectKey, *, foreground: bool) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class RemovalPlan:
    """The objects that a removal deletes."""

    stack: str
    namespace: str
    made: list[ObjectKey]
    """The existing objects that the engine made, in the order of their deletion; without the namespace."""
    ownership: Ownership
    protected: bool
    """Whether the data is protected from accidental deletion."""

    @property
    def keeps_namespace(self) -> bool:
        return bool(self.ownership.foreign or self.ownership.unlisted)

    def describe(self) -> list[str]:
        """The plan as lines of text."""
        is_empty = self.keeps_namespace and not (self.made or self.ownership.claims or self.ownership.issued)
        what = "nothing is left to remove" if is_empty else "will be removed:"
        lines = [f"of stack {self.stack}, in namespace {self.namespace}, {what}"]
        for kind, keys in groupby(self.made, key=lambda key: key.kind):
            lines.append(f"  {kind}: {', '.join(sorted(key.name for key in keys))}")
        if issued := sorted(item["metadata"]["name"] for item in self.ownership.issued):
            lines.append(f"  Secret of cert-manager: {', '.join(issued)}")
        for claim in sorted(self.ownership.claims, key=object_name):
            size = claim["spec"]["resources"]["requests"]["storage"]
            lines.append(f"  data: {claim['metadata']['name']}, {size}")
        if not self.keeps_namespace:
            return [*lines, f"  the namespace {self.namespace} itself: it holds nothing of anyone else"]
        lines.append(f"the namespace {self.namespace} stays, because the stack did not make:")
        lines += [f"  {name}" for name in sorted(map(object_name, self.ownership.foreign))]
        return lines + [f"  cannot be listed: {kind}" for kind in self.ownership.unlisted]


def plan_removal(
    stack: str, namespace: str, objects: RemovableObjects, owned: Collection[ObjectKey], *, protect: bool
) -> RemovalPlan:
    """Plans the removal of a stack.

    Args:
        stack: Its name.
        namespace: The stack's namespace.
        objects: The objects in it.
        owned: The objects that the stack's engine made.
        protect: Whether the settings protect the data now; the namespace has what they were when it was deployed.
    """
    listed, unlisted = objects.list_all()
    ownership = sort_by_owner(listed, owned, unlisted)
    existing = {identity(object_key(item)) for item in ownership.own}
    metadata = (objects.get(namespace_key(namespace)) or {}).get("metadata", {})
    return RemovalPlan(
        stack=stack,
        namespace=namespace,
        made=sorted(
            (key for key in owned if identity(key) in existing and key.kind != "Namespace"),
            key=lambda key: (-_rank(key), key),
        ),
        ownership=ownership,
        protected=protect or (metadata.get("annotations") or {}).get(PROTECTED) == "true",
    )


def _rank(key: ObjectKey) -> int:
    return order.KINDS.index(key.kind) if key.kind in order.KINDS else len(order.KINDS)


def remove(
    plan: RemovalPlan,
    objects: RemovableObjects,
    on_progress: Callable[[str], None],
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deletes what the engine made, then the data, then the namespace, unless it holds something else by then.

    The inventory goes last: it tells the stack's objects from others, so an interrupted removal can be continued.

    Raises:
        DestroyError: Something still exists at the deadline.
    """

    def delete(keys: Iterable[ObjectKey]) -> None:
        remaining = list(keys)
        for key in remaining:
            objects.delete(key, foreground=True)

        def existing() -> list[ObjectKey]:
            for key in tuple(remaining):
                if not objects.get(key):
                    remaining.remove(key)
                    on_progress(f"removed {key}")
            return remaining

        def report(keys: Iterable[ObjectKey]) -> None:
            on_progress(f"waiting for the end of {', '.join(map(str, keys))}")

        if wait_while(existing, deadline=deadline, every=1, report=report, clock=clock, sleep=sleep):
            raise DestroyError(f"not deleted in time: {'; '.join(_with_finalizers(objects, key) for key in remaining)}")

    delete(key for key in plan.made if key != INVENTORY_KEY)
    delete(object_key(secret) for secret in plan.ownership.issued)
    delete(object_key(claim) for claim in plan.ownership.claims)
    # Objects that Kubernetes made for the stack's, Endpoints for example, may be deleted a moment later.
    limit = clock() if plan.keeps_namespace else min(deadline, clock() + _STRAGGLERS_SECONDS)
    if others := wait_while(lambda: _other_objects(plan, objects), deadline=limit, every=1, clock=clock, sleep=sleep):
        delete(key for key in plan.made if key == INVENTORY_KEY)
        on_progress(f"kept namespace {plan.namespace}, for {', '.join(others)}")
    else:
        delete([namespace_key(plan.namespace)])


def _other_objects(plan: RemovalPlan, objects: RemovableObjects) -> list[str]:
    """Return the objects in the namespace that the stack did not make, and the kinds that cannot be listed."""
    listed, unlisted = objects.list_all()
    ownership = plan.ownership
    known = {
        identity(object_key(item))
        for item in (*ownership.own, *ownership.claims, *ownership.issued, *ownership.ambient)
    }
    others = sort_by_owner((item for item in listed if identity(object_key(item)) not in known), ())
    return sorted(map(object_name, others.foreign)) + list(unlisted)


def _with_finalizers(objects: RemovableObjects, key: ObjectKey) -> str:
    """The name of an object that is not deleted, with the finalizers that it waits for."""
    metadata = (objects.get(key) or {}).get("metadata", {})
    finalizers = metadata.get("finalizers") or []
    return f"{key} (held by {', '.join(finalizers)})" if finalizers else str(key)
