"""python -m local.images: the images from the command line."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from local.cluster import Cluster
from local.failure import Failure
from local.images.catalogue import CATALOGUE
from local.images.node import LocalNode, Record
from local.images.resolve import DEFAULT, OUTCOME, Images, describe, image_jobs, read_outcome
from local.jobs import Job, Progress, run_jobs
from local.paths import Home


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 1 if something went wrong that the message names."""
    parser = argparse.ArgumentParser(prog="python -m local.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="show each image and how it was had, or would be")
    build = commands.add_parser("build", help="make images without a cluster, and keep what they are made of")
    build.add_argument("names", nargs="+", metavar="NAME", help=", ".join(CATALOGUE))
    load = commands.add_parser("load", help="bring images into the running local cluster")
    load.add_argument("names", nargs="*", metavar="NAME", help=f"by default: {', '.join(DEFAULT)}")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            _list()
        elif options.command == "build":
            _build(options.names)
        else:
            jobs = image_jobs(names=options.names or DEFAULT)
            run_jobs([Job("cluster", _cluster_is_up), *jobs])
            print(describe(read_outcome()))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _list() -> None:
    home = Home.default()
    node, record = LocalNode(home), Record(home)
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
            how = "can be built" if known.build else "cannot be had here"
        print(f"{name:<10}  {reference:<55}  {how}")


def _build(names: Sequence[str]) -> None:
    home = Home.default()
    images = Images(home, LocalNode(home), names, CATALOGUE, OUTCOME)

    def make(progress: Progress, name: str) -> None:
        if not images.make(progress, name):
            raise Failure(f"{name} can neither be built nor is there a program of it on PATH.")

    run_jobs([Job(f"image/{name}", partial(make, name=name)) for name in names])


def _cluster_is_up(progress: Progress) -> None:
    progress.step("looking for the cluster")
    if not Cluster().status().is_up:
        raise Failure("the local cluster is down. Bring it up with `python -m local up`.")


if __name__ == "__main__":
    sys.exit(main())
