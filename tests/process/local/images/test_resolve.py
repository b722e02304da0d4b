"""The order in which images are had, against a node that only remembers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local.archive import Image, Tree
from local.failure import Failure
from local.images.binary import Packed
from local.images.catalogue import Known
from local.images.node import Entry, ImageRecord
from local.images.resolve import Images, Resolved, describe, left_for_later, read_outcome
from local.jobs import Progress
from local.paths import Home

STORE, FALLBACK, BROKER = (
    "docker.io/maker/store:2.0.0",
    "docker.io/maker/fallback:1.0.0",
    "docker.io/maker/broker:4.1.1",
)


class FakeNode:
    """Images by digest; a registry that answers or not, and that may lack what it is asked for."""

    def __init__(self, *, reachable: bool = False, serves: tuple[str, ...] = ()) -> None:
        self.images: dict[str, str] = {}
        self.reachable = reachable
        self.serves = serves
        self.loaded: list[str] = []

    def digests(self) -> dict[str, str]:
        return dict(self.images)

    def load(self, progress: Progress, image: Image) -> None:
        self.images[image.reference] = image.digest
        self.loaded.append(image.reference)

    def pull(self, progress: Progress, reference: str) -> None:
        if reference not in self.serves:
            raise Failure("not found")
        self.images[reference] = "sha256:pulled"

    def reaches(self, reference: str) -> bool:
        return self.reachable


class Sources:
    """A catalogue of three images (one with a stand-in), and all their sources."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root=root)
        self.node = FakeNode()
        self.recipe = "1"
        self.slow = {BROKER: False}  # whether building it would take long now
        self.built: list[str] = []
        self.outcome = root / "outcome" / "images.json"
        packed = Packed(commands=("store-program",), program="/store", user=10001)
        self.catalogue = {
            "store": Known(reference=lambda: STORE, packed=packed, optional=True),
            "fallback": Known(reference=lambda: FALLBACK, build=self._build(FALLBACK), stands_in_for="store"),
            "broker": Known(reference=lambda: BROKER, build=self._build(BROKER), later=lambda _: self.slow[BROKER]),
        }

    def run(self, *names: str, patient: bool = True) -> dict[str, Resolved]:
        """All jobs, one after the other, as a fresh `make up` would; the cluster is up after the first half."""
        names = names or ("store", "broker")
        images = Images(self.home, self.node, names, self.catalogue, self.outcome, patient=patient)
        for job in images.jobs():
            job.run(Progress(job.name, logs=self.home.logs))
        return read_outcome(self.outcome)

    def sources(self, *names: str, patient: bool = True) -> dict[str, str]:
        return {name: resolved.source for name, resolved in self.run(*names, patient=patient).items()}

    def _build(self, reference: str) -> Callable[[Progress, Home], Image]:
        def build(progress: Progress, home: Home) -> Image:
            self.built.append(reference)
            tree = Tree()
            tree.file("recipe", f"{reference} {self.recipe}")
            return Image(reference=reference, layers=(tree.write(home.images / "layer.tar"),))

        return build


@pytest.fixture
def world(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A static ELF file of that name on PATH: a header is all that packing looks at."""
    path = tmp_path / "bin" / "store-program"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return path


def test_without_anything_it_is_built_and_the_stand_in_stands_in(world: Sources) -> None:
    assert world.sources() == {"store": "unavailable", "fallback": "built", "broker": "built"}
    assert world.node.loaded == [FALLBACK, BROKER]


def test_reason_names_all_that_was_tried(world: Sources) -> None:
    detail = world.run()["store"].detail
    assert detail == "no answer from docker.io, no store-program on PATH, no package registry has it"


def test_pulled_where_the_registry_serves_it_and_nothing_is_built(world: Sources) -> None:
    world.node = FakeNode(reachable=True, serves=(STORE, BROKER))
    assert world.sources() == {"store": "pulled", "broker": "pulled"}
    assert world.built == []


def test_built_where_the_registry_answers_but_refuses(world: Sources) -> None:
    world.node = FakeNode(reachable=True)
    assert world.sources() == {"store": "unavailable", "fallback": "built", "broker": "built"}


def test_program_on_path_makes_the_stand_in_unnecessary(world: Sources, program: Path) -> None:
    assert world.sources() == {"store": "path", "broker": "built"}
    assert world.built == [BROKER]


def test_script_on_path_is_no_program(world: Sources, program: Path) -> None:
    program.write_text("#!/bin/sh\nexec true\n")
    assert world.sources()["store"] == "unavailable"


def test_an_image_of_another_program_is_kept(world: Sources) -> None:
    world.node.images[BROKER] = "sha256:theirs"
    assert world.sources()["broker"] == "node"
    assert world.node.images[BROKER] == "sha256:theirs"
    world.built.clear()
    assert world.sources()["broker"] == "node"
    assert BROKER not in world.built, "the second time it is known before the cluster is up"


def test_second_time_nothing_is_loaded(world: Sources) -> None:
    first = world.run()
    world.node.loaded.clear()
    assert world.run() == first
    assert world.node.loaded == []


def test_second_time_nothing_is_pulled_nor_built_without_the_registry(world: Sources) -> None:
    world.node = FakeNode(reachable=True, serves=(STORE, BROKER))
    world.run()
    world.node.reachable, world.node.serves = False, ()
    assert world.sources() == {"store": "pulled", "broker": "pulled"}
    assert world.built == []


def test_changed_inputs_are_loaded_again(world: Sources) -> None:
    world.run()
    world.node.loaded.clear()
    world.recipe = "2"
    assert world.sources()["broker"] == "built"
    assert BROKER in world.node.loaded


def test_image_that_vanished_from_the_node_comes_back(world: Sources) -> None:
    world.node = FakeNode(reachable=True, serves=(STORE, BROKER))
    world.run()
    world.node = FakeNode()
    assert world.sources() == {"store": "unavailable", "fallback": "built", "broker": "built"}


def test_stand_in_that_is_asked_for_is_made(world: Sources) -> None:
    world.node = FakeNode(reachable=True, serves=(STORE, BROKER, FALLBACK))
    assert world.sources("fallback", "broker") == {"fallback": "pulled", "broker": "pulled"}


def test_what_takes_long_to_build_is_left_for_later_and_had_then(world: Sources) -> None:
    world.slow[BROKER] = True
    first = world.run(patient=False)
    assert (first["broker"].source, first["broker"].available) == ("later", False)
    assert (world.built, world.node.loaded) == ([FALLBACK], [FALLBACK]), "nothing else is held up by it"
    assert world.sources()["broker"] == "built"
    world.slow[BROKER] = False  # built once, it is at hand
    world.node.loaded.clear()
    assert world.sources(patient=False)["broker"] == "built"
    assert world.node.loaded == []


@pytest.mark.parametrize("way", ["pulled", "node"])
def test_what_need_not_be_built_is_not_left_for_later(world: Sources, way: str) -> None:
    world.slow[BROKER] = True
    if way == "pulled":
        world.node = FakeNode(reachable=True, serves=(BROKER,))
    else:
        world.node.images[BROKER] = "sha256:theirs"
    assert world.sources(patient=False)["broker"] == way


def test_a_registry_that_refuses_does_not_make_anyone_wait_for_the_build(world: Sources) -> None:
    world.slow[BROKER] = True
    world.node = FakeNode(reachable=True)
    assert world.sources(patient=False)["broker"] == "later"


def test_an_older_build_serves_until_there_is_time_for_the_new_one(world: Sources) -> None:
    catalogue = world.catalogue
    world.run()
    world.slow[BROKER] = True
    outcome = world.run(patient=False)
    assert outcome["broker"].available
    assert left_for_later(outcome, world.home, catalogue) == ["broker"]
    world.slow[BROKER] = False
    assert left_for_later(outcome, world.home, catalogue) == []


def test_needed_image_that_cannot_be_had_is_a_failure(world: Sources) -> None:
    world.catalogue["broker"] = Known(reference=lambda: BROKER)
    with pytest.raises(Failure, match=r"maker/broker:4\.1\.1 cannot be had: no answer from docker\.io"):
        world.run()


def test_unknown_name_is_refused(world: Sources) -> None:
    with pytest.raises(Failure, match="there is no image kafak"):
        Images(world.home, world.node, ("kafak",), world.catalogue, world.outcome)


def test_jobs_that_make_need_no_cluster(world: Sources) -> None:
    jobs = Images(world.home, world.node, ("store",), world.catalogue, world.outcome).jobs()
    needs = {job.name: job.needs for job in jobs}
    assert needs == {
        "image/store": (),
        "image/fallback": (),
        "load/store": ("cluster", "image/store"),
        "load/fallback": ("cluster", "image/fallback", "load/store"),
        "images": ("load/store", "load/fallback"),
    }


def test_outcome_is_readable_by_machines_and_people(world: Sources) -> None:
    outcome = world.run()
    assert json.loads(world.outcome.read_text())["broker"]["source"] == "built"
    assert describe(outcome).splitlines()[0].startswith("store     unavailable")


def test_damaged_record_is_as_good_as_none(world: Sources) -> None:
    record = ImageRecord(world.home)
    record.put(STORE, Entry(source="pulled", detail="", digest="sha256:1"))
    assert record.get(STORE) is not None
    (world.home.containerd / "images.json").write_text("{")
    assert record.get(STORE) is None


def test_files_that_are_edited_while_an_image_is_made_change_nothing_for_this_run(world: Sources) -> None:
    """The reference follows the files: what is deployed is what was made, not what would be made by now."""
    references = iter([BROKER])
    world.catalogue["broker"] = Known(
        reference=lambda: next(references, f"{BROKER}-edited"), build=world._build(BROKER)
    )
    assert world.run("broker")["broker"].reference == BROKER
    assert world.node.loaded == [BROKER]
