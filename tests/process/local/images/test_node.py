"""How often the image store of a node is asked, with a program that stands in for `ctr`."""

from pathlib import Path

import pytest

from local.archive import Image
from local.images.node import LocalNode
from local.jobs import Progress
from local.paths import Home

CTR = """#!/bin/sh
echo "$*" >> "{folder}/asked"
case "$*" in
  *"images list"*) echo "REF TYPE DIGEST"; cat "{folder}/table" ;;
  *"images import"*) echo "made:1 image sha256:1" >> "{folder}/table" ;;
  *"images pull"*) echo "pulled:1 image sha256:2" >> "{folder}/table" ;;
esac
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalNode:
    program = tmp_path / "ctr"
    program.write_text(CTR.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "table").write_text("there:1 image sha256:0\n")
    home = Home(root=tmp_path)
    home.node("node1").mkdir(parents=True)
    home.images.mkdir()
    return LocalNode(home)


def listings(folder: Path) -> int:
    return (folder / "asked").read_text().count("images list")


def test_the_images_are_listed_once_until_one_is_added(node: LocalNode, tmp_path: Path) -> None:
    progress = Progress("test", logs=tmp_path / "logs")
    for _ in range(3):
        assert node.digests() == {"there:1": "sha256:0"}
    assert listings(tmp_path) == 1
    node.load(progress, Image(reference="made:1", layers=()))
    assert node.digests()["made:1"] == "sha256:1"
    node.pull(progress, "pulled:1")
    assert node.digests()["pulled:1"] == "sha256:2"
    assert listings(tmp_path) == 3
