"""Brings the images into the node, as jobs: what needs no cluster is done while the cluster is being made."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from local.failure import Failure
from local.images.archive import Image
from local.images.binary import pack, version, version_of
from local.images.cache import LayerCache
from local.images.catalogue import CATALOGUE, Known
from local.images.node import Entry, ImageRecord, LocalNode, Node
from local.jobs import Job, Progress
from local.paths import Home

Source = Literal["node", "pulled", "path", "built", "later", "unavailable"]
OUTCOME = Path(__file__).resolve().parents[2] / ".local" / "images.json"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """How an image was had. "node" is an image that was there and did not come from us; "later" is one that would be
    built here, which takes too long for now."""

    reference: str
    source: Source
    detail: str = ""

    @property
    def available(self) -> bool:
        """Whether a pod can use it."""
        return self.source not in ("later", "unavailable")


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image that was made here, and from what."""

    image: Image
    source: Source
    detail: str


class Images:
    """Resolves the named images of a catalogue against one node; without `patient`, those are left for later that the
    catalogue says take long to build."""

    def __init__(
        self,
        home: Home,
        node: Node,
        names: Sequence[str],
        catalogue: Mapping[str, Known],
        outcome: Path,
        *,
        patient: bool = True,
    ) -> None:
        if unknown := [name for name in names if name not in catalogue]:
            raise Failure(f"there is no image {', '.join(unknown)}. Images: {', '.join(catalogue)}")
        self._home = home
        self._node = node
        self._names = names
        self._catalogue = catalogue
        self._outcome = outcome
        self._patient = patient
        self._record = ImageRecord(home)
        self._cache = LayerCache(home.images)
        self._made: dict[str, Made] = {}
        self._resolved: dict[str, Resolved] = {}
        self._lock = threading.Lock()

    def jobs(self) -> list[Job]:
        """One job that makes each image, one that brings it into the node, and "images", which waits for all."""
        # In the catalogue's order, which is the order in which they get the cores.
        names = [name for name in self._catalogue if name in self._wanted()]
        make = [Job(f"image/{name}", partial(self.prepare, name=name)) for name in names]
        load = []
        for name in names:
            needs = ["cluster", f"image/{name}"]
            if other := self._stands_in(name):
                needs.append(f"load/{other}")
            load.append(Job(f"load/{name}", partial(self._load, name=name), needs=tuple(needs)))
        done = Job("images", lambda _: self.write_outcome(), needs=tuple(job.name for job in load))
        return [*make, *load, done]

    def _load(self, progress: Progress, name: str) -> None:
        self.place(progress, name)

    def prepare(self, progress: Progress, name: str) -> None:
        """Makes the image, unless it will most likely come from the node or its registry."""
        if (other := self._stands_in(name)) and self._is_expected(other):
            return
        reference = self._catalogue[name].reference()
        entry = self._record.get(reference)
        if entry and entry.source in ("node", "pulled"):
            return
        if not entry and self._node.reaches(reference):
            return
        self.make(progress, name)

    def place(self, progress: Progress, name: str) -> Resolved | None:
        """Brings the image into the node; None if it is not wanted, since what it stands in for is there.

        An image that this project built is replaced if its inputs changed; other images stay.
        """
        if (other := self._stands_in(name)) and self._resolved[other].available:
            return None
        resolved = self._place(progress, name)
        self._resolved[name] = resolved
        if resolved.source == "unavailable" and not self._catalogue[name].optional:
            raise Failure(f"{resolved.reference} cannot be had: {resolved.detail}")
        return resolved

    def write_outcome(self) -> None:
        """Writes what became of each image, for those who deploy."""
        self._outcome.parent.mkdir(parents=True, exist_ok=True)
        content = {name: asdict(self._resolved[name]) for name in self._catalogue if name in self._resolved}
        unfinished = self._outcome.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        unfinished.rename(self._outcome)

    def _place(self, progress: Progress, name: str) -> Resolved:
        reference = self._catalogue[name].reference()
        there, entry, made = self._node.digests().get(reference), self._record.get(reference), self._made.get(name)
        if there and not (entry and entry.digest == there) and not (made and made.image.digest == there):
            return self._known(reference, Entry(source="node", detail="was in the node", digest=there))
        if there and made and made.image.digest == there:
            return self._known(reference, Entry(source=made.source, detail=made.detail, digest=there))
        if there and entry and not made:
            return self._known(reference, entry)
        if not there and not made and self._node.reaches(reference):
            try:
                self._node.pull(progress, reference)
                digest = self._node.digests()[reference]
                return self._known(reference, Entry(source="pulled", detail="from its registry", digest=digest))
            except Failure as failure:
                progress.note(f"could not be pulled: {failure}")
        made = made or self.make(progress, name)
        if not made and self._is_for_later(name):
            return Resolved(reference=reference, source="later", detail="takes minutes to build")
        if not made:
            return Resolved(reference=reference, source="unavailable", detail=self._reason(name))
        self._node.load(progress, made.image)
        # What was made, though its files may have been edited since, and would make another one now.
        return self._known(
            made.image.reference, Entry(source=made.source, detail=made.detail, digest=made.image.digest)
        )

    def make(self, progress: Progress, name: str) -> Made | None:
        """Makes an image here, from a program on PATH or by building it; None if neither is possible, or not now."""
        made = self._from_path(progress, name)
        known = self._catalogue[name]
        if not made and known.build and not self._is_for_later(name):
            made = Made(image=known.build(progress, self._home), source="built", detail="from package registries")
        if made:
            with self._lock:
                self._made[name] = made
        return made

    def _from_path(self, progress: Progress, name: str) -> Made | None:
        known = self._catalogue[name]
        if not known.packed or not (binary := known.packed.find()):
            return None
        reference = known.reference()
        try:
            image = pack(progress, self._cache, name, known.packed, binary, reference)
        except Failure as failure:
            progress.note(f"warning: {failure}")
            return None
        detail, actual, expected = f"from {binary}", version(binary), version_of(reference)
        if actual and actual.removeprefix("v") != expected:
            detail += f", version {actual}; the stack is made for {expected}"
            progress.note(f"warning: {name}: {detail}")
        return Made(image=image, source="path", detail=detail)

    def _known(self, reference: str, entry: Entry) -> Resolved:
        if self._record.get(reference) != entry:
            self._record.put(reference, entry)
        source: Source = entry.source  # type: ignore[assignment]
        return Resolved(reference=reference, source=source, detail=entry.detail)

    def _reason(self, name: str) -> str:
        known = self._catalogue[name]
        registry = known.reference().partition("/")[0]
        reached = self._node.reaches(known.reference())
        reasons = [f"{registry} does not serve it" if reached else f"no answer from {registry}"]
        if known.packed:
            reasons.append(f"no {' or '.join(known.packed.commands)} on PATH")
        if not known.build:
            reasons.append("no package registry has it")
        return ", ".join(reasons)

    def _wanted(self) -> set[str]:
        """The names asked for, and what stands in for them where they cannot be had."""
        return {name for name in self._catalogue if name in self._names or self._stands_in(name)}

    def _stands_in(self, name: str) -> str:
        """The image that makes this one unnecessary; none if this one was asked for by name."""
        other = self._catalogue[name].stands_in_for
        return other if other in self._names and name not in self._names else ""

    def _is_for_later(self, name: str) -> bool:
        later = self._catalogue[name].later
        return not self._patient and later is not None and later(self._home)

    def _is_expected(self, name: str) -> bool:
        known = self._catalogue[name]
        on_path = known.packed is not None and known.packed.find() is not None
        reference = known.reference()
        return on_path or self._record.get(reference) is not None or self._node.reaches(reference)


DEFAULT = tuple(name for name, known in CATALOGUE.items() if not known.stands_in_for)


def image_jobs(
    home: Home | None = None, *, names: Sequence[str] = DEFAULT, outcome: Path = OUTCOME, patient: bool = True
) -> list[Job]:
    """The jobs that bring the named images into the node; they need the job "cluster" and end with "images".

    Failure if there is no image of such a name. `outcome` is written by the last job: read it with `read_outcome`.
    Without `patient`, what takes long to build is left for later.
    """
    home = home or Home.default()
    return Images(home, LocalNode(home), names, CATALOGUE, outcome, patient=patient).jobs()


def read_outcome(outcome: Path = OUTCOME) -> dict[str, Resolved]:
    """What became of each image when they were last brought into the node; empty before the first time."""
    if not outcome.exists():
        return {}
    return {name: Resolved(**entry) for name, entry in json.loads(outcome.read_text()).items()}


def left_for_later(
    resolved: Mapping[str, Resolved], home: Home | None = None, catalogue: Mapping[str, Known] = CATALOGUE
) -> list[str]:
    """The images that an impatient run did not build: they are missing, or made of something older."""
    home = home or Home.default()
    return [
        name
        for name, image in resolved.items()
        if image.source in ("later", "built") and (later := catalogue[name].later) and later(home)
    ]


def describe(resolved: Mapping[str, Resolved]) -> str:
    """One line an image, for people."""
    width = max((len(name) for name in resolved), default=0)
    return "\n".join(
        f"{name:<{width}}  {image.source:<11}  {image.reference}" + (f"  ({image.detail})" if image.detail else "")
        for name, image in resolved.items()
    )
