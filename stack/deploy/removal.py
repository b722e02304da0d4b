"""What removing a stack would take away, and taking it away, whichever engine made it."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from contracts.errors import UserError
from contracts.metadata import PROTECTED, Manifest
from stack.deploy.render import ORDER
from stack.kubernetes.apply import INVENTORY_KEY
from stack.kubernetes.objects import Key, key, name
from stack.kubernetes.ownership import Contents, contents, identity

_STRAGGLERS_SECONDS: Final = 15

Say = Callable[[str], None]


class DestroyError(UserError):
    """The stack, or a part of it, is still there; the message says why."""


class Place(Protocol):
    """A namespace that a stack is in: `Objects`."""

    def everything(self) -> tuple[list[Manifest], list[str]]:
        """Its objects, and the kinds that could not be listed."""
        ...

    def delete(self, which: Key, *, foreground: bool) -> bool:
        """Asks for an object's end; whether it was there."""
        ...

    def present(self, which: Key) -> Manifest | None:
        """An object; None if it is gone."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a removal will do."""

    stack: str
    namespace: str
    made: list[Key]
    """What the engine made and is there, in the order in which it goes; without the namespace."""
    contents: Contents
    protected: bool
    """Whether the data is kept from being deleted by accident."""

    @property
    def keeps_namespace(self) -> bool:
        return bool(self.contents.foreign or self.contents.unseen)

    def describe(self) -> list[str]:
        """The plan, for whoever has to agree to it."""
        some = self.made or self.contents.claims or not self.keeps_namespace
        what = "will be removed:" if some else "nothing is left to remove"
        lines = [f"of stack {self.stack}, in namespace {self.namespace}, {what}"]
        for kind, keys in groupby(self.made, key=lambda item: item[1]):
            lines.append(f"  {kind}: {', '.join(sorted(item[2] for item in keys))}")
        for claim in sorted(self.contents.claims, key=name):
            size = claim["spec"]["resources"]["requests"]["storage"]
            lines.append(f"  data: {claim['metadata']['name']}, {size}")
        if not self.keeps_namespace:
            return [*lines, f"  the namespace {self.namespace} itself: nothing of anybody else is in it"]
        lines.append(f"the namespace {self.namespace} stays, for what the stack did not make:")
        lines += [f"  {item}" for item in sorted(name(item) for item in self.contents.foreign)]
        return lines + [f"  cannot be looked through: {kind}" for kind in self.contents.unseen]


def plan(stack: str, namespace: str, place: Place, owned: Collection[Key], *, protect: bool) -> Plan:
    """What there is to remove.

    Args:
        stack: its name.
        namespace: the stack's.
        place: where it is.
        owned: what the stack's engine says it made.
        protect: what the settings say; the namespace says what they said when it was deployed.
    """
    objects, unseen = place.everything()
    found = contents(objects, owned, unseen)
    there = {identity(key(item)) for item in found.own}
    annotations = (place.present(("v1", "Namespace", namespace)) or {}).get("metadata", {}).get("annotations") or {}
    return Plan(
        stack=stack,
        namespace=namespace,
        # What needs others goes before them.
        made=sorted(
            (item for item in owned if identity(item) in there and item[1] != "Namespace"),
            key=lambda item: (-_place_in_order(item), item),
        ),
        contents=found,
        protected=protect or annotations.get(PROTECTED) == "true",
    )


def _place_in_order(item: Key) -> int:
    return ORDER.index(item[1]) if item[1] in ORDER else len(ORDER)


def remove(
    what: Plan,
    place: Place,
    say: Say,
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Removes what the engine made; then the data; then the namespace, unless something else is in it by then.

    What tells the stack's objects from others, the inventory, goes last: an interrupted removal goes on from there.

    Raises:
        DestroyError: something is still there at the deadline.
    """

    def away(keys: Iterable[Key]) -> None:
        waiting = list(keys)
        for item in waiting:
            place.delete(item, foreground=True)
        said = clock()
        while True:
            left = []
            for item in waiting:
                if place.present(item):
                    left.append(item)
                else:
                    say(f"removed {_shown(item)}")
            waiting = left
            if not waiting:
                return
            if clock() > deadline:
                raise DestroyError(f"still there: {'; '.join(_held(place, item) for item in waiting)}")
            if clock() - said > 10:
                said = clock()
                say("waiting for the end of " + ", ".join(_shown(item) for item in waiting))
            sleep(1)

    away(item for item in what.made if item != INVENTORY_KEY)
    away(key(claim) for claim in what.contents.claims)
    started = clock()
    while others := _others(what, place):
        # What is made for the stack's objects, Endpoints for example, may follow them a moment later.
        if what.keeps_namespace or clock() > min(deadline, started + _STRAGGLERS_SECONDS):
            away(item for item in what.made if item == INVENTORY_KEY)
            say(f"kept namespace {what.namespace}, for {', '.join(others)}")
            return
        sleep(1)
    away([("v1", "Namespace", what.namespace)])


def _others(what: Plan, place: Place) -> list[str]:
    """What is in the namespace by now that the stack did not make, or could not be looked for."""
    objects, unseen = place.everything()
    before = {identity(key(item)) for item in (*what.contents.own, *what.contents.claims, *what.contents.ambient)}
    left = contents((item for item in objects if identity(key(item)) not in before), ())
    return sorted(name(item) for item in left.foreign) + list(unseen)


def _shown(item: Key) -> str:
    return f"{item[1].lower()}/{item[2]}"


def _held(place: Place, item: Key) -> str:
    """An object that does not go, and what holds it."""
    metadata = (place.present(item) or {}).get("metadata", {})
    finalizers = metadata.get("finalizers") or []
    return _shown(item) + (f" (held by {', '.join(finalizers)})" if finalizers else "")
