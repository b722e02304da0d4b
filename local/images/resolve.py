"""Jobs that bring the images into the node. They build images while the cluster starts."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from local.archive import Image
from local.failure import Failure
from local.files import write_text
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
    """Where an image came from.

    "node" is an image that another program put into the node; "later" is one whose build takes too long for this run.
    """

    reference: str
    source: Source
    detail: str = ""

    @property
    def available(self) -> bool:
        """Whether a pod can use it."""
        return self.source not in ("later", "unavailable")


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image that was made on this machine, and its source."""

    image: Image
    source: Source
    detail: str


class Images:
    """Brings images of a catalogue into a node. Without `patient`, it skips images that take long to build."""

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
            raise Failure(f"there is no image {', '.join(unknown)}; known images: {', '.join(catalogue)}")
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
        """For each image a job that makes it and one that brings it into the node; the last job is "images"."""
        # The catalogue's order decides which build gets the cores first.
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
        """Makes the image, unless the node has it or its registry answers."""
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
        """Brings the image into the node; returns None if the image that it stands in for is available.

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
        """Writes the result for each image, which the deployment reads."""
        content = {name: asdict(self._resolved[name]) for name in self._catalogue if name in self._resolved}
        write_text(self._outcome, json.dumps(content, indent=2) + "\n")

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
        # The reference of the image that was made. If its files changed meanwhile, `reference` is of another image.
        return self._known(
            made.image.reference, Entry(source=made.source, detail=made.detail, digest=made.image.digest)
        )

    def make(self, progress: Progress, name: str) -> Made | None:
        """Makes an image from a program on PATH, or builds it; returns None if neither is possible in this run."""
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
        """The requested images, and the images that stand in for them."""
        return {name for name in self._catalogue if name in self._names or self._stands_in(name)}

    def _stands_in(self, name: str) -> str:
        """The image that this one stands in for; empty if this one was requested by name."""
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


DEFAULT = tuple(name for name, known in CATALOGUE.items() if not (known.stands_in_for or known.only_by_name))


def image_jobs(
    home: Home | None = None, *, names: Sequence[str] = DEFAULT, outcome: Path = OUTCOME, patient: bool = True
) -> list[Job]:
    """The jobs that bring images into the node. They need the job "cluster"; the last one is "images".

    Args:
        home: the cache directory.
        names: the images.
        outcome: file that the last job writes, and `read_outcome` reads.
        patient: whether to build images that take long.

    Raises:
        Failure: there is no image of that name.
    """
    home = home or Home.default()
    return Images(home, LocalNode(home), names, CATALOGUE, outcome, patient=patient).jobs()


def read_outcome(outcome: Path = OUTCOME) -> dict[str, Resolved]:
    """The result for each image of the last run; empty before the first one."""
    if not outcome.exists():
        return {}
    return {name: Resolved(**entry) for name, entry in json.loads(outcome.read_text()).items()}


def left_for_later(
    resolved: Mapping[str, Resolved], home: Home | None = None, catalogue: Mapping[str, Known] = CATALOGUE
) -> list[str]:
    """The images that an impatient run did not build: the node has none, or an older one."""
    home = home or Home.default()
    return [
        name
        for name, image in resolved.items()
        if image.source in ("later", "built") and (later := catalogue[name].later) and later(home)
    ]


def describe(resolved: Mapping[str, Resolved]) -> str:
    """A table of the images, to be printed."""
    width = max((len(name) for name in resolved), default=0)
    return "\n".join(
        f"{name:<{width}}  {image.source:<11}  {image.reference}" + (f"  ({image.detail})" if image.detail else "")
        for name, image in resolved.items()
    )
