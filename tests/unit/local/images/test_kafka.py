"""The lock of Kafka's jars: well-formed, in step with the pom, and enforced."""

import hashlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from contracts import versions
from local.failure import Failure
from local.images import kafka

VERSIONS = pytest.mark.parametrize(
    ("folder", "reference"), [(kafka.CURRENT, versions.KAFKA), (kafka.PREVIOUS, versions.KAFKA_PREVIOUS)]
)


@VERSIONS
def test_lock_holds_what_the_pom_asks_for(folder: Path, reference: str) -> None:
    assert f"<version>{reference.rpartition(':')[2]}</version>" in (folder / kafka.POM).read_text()
    locked = kafka.read_lock((folder / kafka.LOCK).read_text())
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    dependencies = ElementTree.parse(folder / kafka.POM).findall("m:dependencies/m:dependency", space)
    parts = [[item.findtext(f"m:{part}", namespaces=space) for part in _PARTS] for item in dependencies]
    assert {f"{group}.{artifact}-{version}.jar" for group, artifact, version in parts} <= set(locked)


@VERSIONS
def test_all_of_kafkas_own_jars_have_the_version_of_the_image(folder: Path, reference: str) -> None:
    version = reference.rpartition(":")[2]
    own = [name for name in kafka.read_lock((folder / kafka.LOCK).read_text()) if name.startswith("org.apache.kafka.")]
    assert own
    assert all(name.endswith(f"-{version}.jar") for name in own)


@pytest.mark.parametrize("line", ["abc  x.jar", f"{'0' * 64} x.jar", f"{'0' * 64}  x.zip"])
def test_malformed_lock_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of sha256sum"):
        kafka.read_lock(line)


def test_missing_unknown_and_changed_jars_are_named(tmp_path: Path) -> None:
    lock = tmp_path / kafka.LOCK
    digest = hashlib.sha256(b"good").hexdigest()
    lock.write_text("".join(f"{digest}  {name}.jar\n" for name in ("good", "changed", "missing")))
    jars = tmp_path / "jars"
    jars.mkdir()
    for name, content in (("good", b"good"), ("changed", b"bad"), ("unknown", b"good")):
        (jars / f"{name}.jar").write_bytes(content)
    with pytest.raises(Failure) as failure:
        kafka.verify(jars, tmp_path)
    message = str(failure.value)
    assert "missing ['missing.jar']" in message
    assert "not in it ['unknown.jar']" in message
    assert "changed ['changed.jar']" in message


_PARTS = ("groupId", "artifactId", "version")
