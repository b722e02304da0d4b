"""The lock of Kafka's jars: well-formed, in step with the pom, and enforced."""

import hashlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from contracts import versions
from local.failure import Failure
from local.images import kafka


def test_lock_holds_what_the_pom_asks_for() -> None:
    locked = kafka.read_lock(kafka.LOCK.read_text())
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    dependencies = ElementTree.parse(kafka.POM).findall("m:dependencies/m:dependency", space)
    parts = [[item.findtext(f"m:{part}", namespaces=space) for part in _PARTS] for item in dependencies]
    assert {f"{group}.{artifact}-{version}.jar" for group, artifact, version in parts} <= set(locked)


def test_pom_has_the_version_of_the_stack() -> None:
    assert f"<version>{versions.KAFKA.rpartition(':')[2]}</version>" in kafka.POM.read_text()


def test_all_of_kafkas_own_jars_have_one_version() -> None:
    version = versions.KAFKA.rpartition(":")[2]
    own = [name for name in kafka.read_lock(kafka.LOCK.read_text()) if name.startswith("org.apache.kafka.")]
    assert own
    assert all(name.endswith(f"-{version}.jar") for name in own)


@pytest.mark.parametrize("line", ["abc  x.jar", f"{'0' * 64} x.jar", f"{'0' * 64}  x.zip"])
def test_malformed_lock_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of sha256sum"):
        kafka.read_lock(line)


def test_missing_unknown_and_changed_jars_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "kafka.lock"
    digest = hashlib.sha256(b"good").hexdigest()
    lock.write_text("".join(f"{digest}  {name}.jar\n" for name in ("good", "changed", "missing")))
    monkeypatch.setattr(kafka, "LOCK", lock)
    jars = tmp_path / "jars"
    jars.mkdir()
    for name, content in (("good", b"good"), ("changed", b"bad"), ("unknown", b"good")):
        (jars / f"{name}.jar").write_bytes(content)
    with pytest.raises(Failure) as failure:
        kafka.verify(jars)
    message = str(failure.value)
    assert "missing ['missing.jar']" in message
    assert "not in it ['unknown.jar']" in message
    assert "changed ['changed.jar']" in message


_PARTS = ("groupId", "artifactId", "version")
