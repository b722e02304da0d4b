"""Layers and archives: deterministic, and in the formats that container tools read."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from local.archive import Image, Layer, Tree, architecture


def _tree(root: Path) -> Tree:
    (root / "bin").mkdir(parents=True, exist_ok=True)
    (root / "bin" / "run").write_text("#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o755)
    if not (root / "sh").is_symlink():
        (root / "sh").symlink_to("bin/run")
    (root / "doc").mkdir(exist_ok=True)
    (root / "doc" / "long").write_text("…")
    tree = Tree()
    tree.copy(root, "opt/program", keep=lambda path: path != "doc")
    tree.file("etc/passwd", "root:x:0:0::/:\n")
    tree.directory("var/data", owner=999)
    return tree


def test_layer_is_sorted_without_times_and_has_its_parents(tmp_path: Path) -> None:
    layer = _tree(tmp_path / "a").write(tmp_path / "layer.tar")
    with tarfile.open(layer.path) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {"etc", "opt", "opt/program", "opt/program/bin", "opt/program/bin/run", "var/data"} <= set(names)
    assert not any(name.startswith("opt/program/doc") for name in names)
    assert {member.mtime for member in members} == {0}
    owners = {member.name: member.uid for member in members if member.uid}
    assert owners == {"var/data": 999}
    modes = {member.name: member.mode for member in members}
    assert modes["opt/program/bin/run"] == 0o755
    assert next(member for member in members if member.name == "opt/program/sh").linkname == "bin/run"


def test_layer_digest_and_size_are_the_files(tmp_path: Path) -> None:
    layer = _tree(tmp_path / "a").write(tmp_path / "layer.tar")
    content = layer.path.read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert layer.size == len(content)


def test_same_files_give_same_bytes(tmp_path: Path) -> None:
    first = _image(tmp_path, "a")
    second = _image(tmp_path, "b")
    assert first.digest == second.digest
    first.write(tmp_path / "a.tar")
    second.write(tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_archive_is_an_oci_layout_with_dockers_manifest(tmp_path: Path) -> None:
    image = _image(tmp_path, "a")
    image.write(tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    for name, data in content.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    index = json.loads(content["index.json"])
    (described,) = index["manifests"]
    assert described["digest"] == image.digest
    assert described["annotations"]["io.containerd.image.name"] == "localhost/program:1"
    manifest = json.loads(content["blobs/" + image.digest.replace(":", "/")])
    config = json.loads(content["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    layers = [layer["digest"] for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == layers == [layer.digest for layer in image.layers]
    assert config["architecture"] == architecture()
    assert config["config"]["Entrypoint"] == ["/opt/program/bin/run"]
    assert config["config"]["User"] == "10001:10001"
    assert "MODE=fast" in config["config"]["Env"]
    (docker,) = json.loads(content["manifest.json"])
    assert docker["RepoTags"] == ["localhost/program:1"]
    assert set(docker["Layers"]) <= set(content)
    assert docker["Config"] in content


def test_unfinished_layer_is_not_left_behind(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("program", tmp_path / "is-not-there")
    with pytest.raises(FileNotFoundError):
        tree.write(tmp_path / "layer.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "/", "../etc/passwd", "a/../../b"])
def test_path_outside_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        Tree().file(path, b"")


def _image(tmp_path: Path, name: str) -> Image:
    layer: Layer = _tree(tmp_path / name).write(tmp_path / f"{name}-layer.tar")
    other = Tree()
    other.file("etc/more", "more")
    return Image(
        reference="localhost/program:1",
        layers=(layer, other.write(tmp_path / f"{name}-other.tar")),
        entrypoint=("/opt/program/bin/run",),
        environment={"MODE": "fast"},
        user="10001:10001",
    )
