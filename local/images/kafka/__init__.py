"""Apache Kafka's own jars from the machine's Maven repository, on Debian's Java 17."""

import hashlib
import tempfile
from pathlib import Path

from local.archive import Layer, Tree
from local.failure import Failure
from local.images.cache import LayerCache
from local.images.debian import JAVA, Debian
from local.jobs import Progress
from local.packages import install_packages

CURRENT = Path(__file__).parent
"""Folder of the version that the stack runs: `pom.xml`, and `kafka.lock` in the format of `sha256sum -c`."""
PREVIOUS = CURRENT / "previous"
"""Folder of the version before it, from which `make ha` upgrades."""
POM = "pom.xml"
LOCK = "kafka.lock"

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
LIBRARIES = "opt/kafka/libs"


def kafka_layers(progress: Progress, cache: LayerCache, version: Path = CURRENT) -> tuple[Layer, ...]:
    """Base, Java and the jars; started as `java -cp /opt/kafka/libs/* kafka.Kafka <server.properties>`.

    Args:
        progress: takes the steps.
        cache: of the layers.
        version: its folder.
    """
    name = "kafka" if version == CURRENT else f"kafka-{version.name}"
    with cache.lock("kafka", progress):
        key = kafka_key(version)
        jars = cache.get(name, key)
        if not jars:
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="kafka-") as scratch:
                directory = Path(scratch)
                _fetch(progress, directory, version)
                verify(directory, version)
                tree = Tree()
                tree.copy(directory, LIBRARIES)
                jars = cache.put(name, key, tree)
    return (*Debian(cache).layers(progress, JAVA), jars)


def kafka_key(version: Path = CURRENT) -> str:
    """The key of the layer of jars."""
    return hashlib.sha256((version / POM).read_bytes() + (version / LOCK).read_bytes()).hexdigest()


def read_lock(text: str) -> dict[str, str]:
    """File name → sha256 of the lock.

    Raises:
        ValueError: a line is not in the format of sha256sum, or a file occurs twice.
    """
    hashes: dict[str, str] = {}
    for line in text.splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or not name.endswith(".jar") or name in hashes:
            raise ValueError(f"{LOCK}: not a line of sha256sum, or there twice: {line!r}")
        hashes[name] = digest
    return hashes


def verify(directory: Path, version: Path = CURRENT) -> None:
    """Compares the jars of a directory with the lock of a version.

    Raises:
        Failure: they differ.
    """
    locked = read_lock((version / LOCK).read_text())
    actual = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.glob("*.jar")}
    if actual != locked:
        missing = sorted(locked.keys() - actual.keys())
        unknown = sorted(actual.keys() - locked.keys())
        changed = sorted(name for name in locked.keys() & actual.keys() if locked[name] != actual[name])
        raise Failure(
            f"Kafka's jars are not the ones of {LOCK}: missing {missing}, not in it {unknown}, changed {changed}. "
            "A changed jar means that the repository you use serves another file under that name: do not use it."
        )


def _fetch(progress: Progress, directory: Path, version: Path) -> None:
    install_packages(progress, {"mvn": "maven"})

    def follow(line: str) -> None:
        if "Downloading" in line:
            progress.step(f"fetching {line.rpartition('/')[2]}")

    progress.step("fetching Kafka's jars")
    options = [f"-DoutputDirectory={directory}", "-DincludeScope=runtime", "-Dmdep.prependGroupId=true"]
    # --batch-mode also keeps Maven from drawing a progress bar into the log.
    progress.run(["mvn", "--batch-mode", "-f", version / POM, _PLUGIN, *options], on_line=follow, timeout=900)
