"""The commands of the images."""

from collections.abc import Sequence
from functools import partial

from local.cluster import IS_DOWN, Cluster
from local.failure import Failure
from local.images.catalogue import CATALOGUE
from local.images.node import ImageRecord, LocalNode
from local.images.resolve import DEFAULT, OUTCOME, Images, describe, image_jobs, read_outcome
from local.jobs import Job, Progress, run_jobs
from local.paths import Home


def load(names: Sequence[str] = ()) -> None:
    """Brings images into the running local cluster; those of the stack if no name is given.

    Raises:
        Failure: names what is wrong and what to do.
    """
    run_jobs([Job("cluster", _cluster_is_up), *image_jobs(names=names or DEFAULT)])
    print(describe(read_outcome()))


def list_images() -> None:
    """Prints each image and where it comes from."""
    home = Home.default()
    node, record = LocalNode(home), ImageRecord(home)
    width = max(map(len, CATALOGUE))
    for name, known in CATALOGUE.items():
        reference = known.reference()
        entry = record.get(reference)
        binary = known.packed.find() if known.packed else None
        if entry:
            how = f"{entry.source}, {entry.detail}"
        elif node.reaches(reference):
            how = "can be pulled"
        elif binary:
            how = f"can be packed from {binary}"
        else:
            how = "can be built" if known.build else "can neither be pulled, packed nor built here"
        print(f"{name:<{width}}  {reference:<55}  {how}")


def build(names: Sequence[str]) -> None:
    """Builds images without a cluster, and keeps them in the cache.

    Raises:
        Failure: an image does not exist, or cannot be built.
    """
    home = Home.default()
    images = Images(home, LocalNode(home), names, CATALOGUE, OUTCOME)

    def make(progress: Progress, name: str) -> None:
        if not images.make(progress, name):
            raise Failure(f"{name} can neither be built nor is there a program of it on PATH.")

    run_jobs([Job(f"image/{name}", partial(make, name=name)) for name in names])


def _cluster_is_up(progress: Progress) -> None:
    progress.step("looking for the cluster")
    if not Cluster().status().is_up:
        raise Failure(IS_DOWN)
