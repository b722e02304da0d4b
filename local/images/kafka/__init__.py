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

POM = Path(__file__).with_name("pom.xml")
LOCK = Path(__file__).with_name("kafka.lock")  # in the format of sha256sum, so that `sha256sum -c` reads it as well

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
LIBRARIES = "opt/kafka/libs"


def kafka_layers(progress: Progress, cache: LayerCache) -> tuple[Layer, ...]:
    """Base, Java and the jars; started as `java -cp /opt/kafka/libs/* kafka.Kafka <server.properties>`."""
    with cache.lock("kafka", progress):
        key = kafka_key()
        jars = cache.get("kafka", key)
        if not jars:
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="kafka-") as scratch:
                directory = Path(scratch)
                _fetch(progress, directory)
                verify(directory)
                tree = Tree()
                tree.copy(directory, LIBRARIES)
                jars = cache.put("kafka", key, tree)
    return (*Debian(cache).layers(progress, JAVA), jars)


def kafka_key() -> str:
    """The key of the layer of jars."""
    return hashlib.sha256(POM.read_bytes() + LOCK.read_bytes()).hexdigest()


def read_lock(text: str) -> dict[str, str]:
    """File name → sha256 of the lock.

    Raises:
        ValueError: a line is not in the format of sha256sum, or a file occurs twice.
    """
    hashes: dict[str, str] = {}
    for line in text.splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or not name.endswith(".jar") or name in hashes:
            raise ValueError(f"{LOCK.name}: not a line of sha256sum, or there twice: {line!r}")
        hashes[name] = digest
    return hashes


def verify(directory: Path) -> None:
    """Compares the jars of a directory with the lock.

    Raises:
        Failure: they differ.
    """
    locked = read_lock(LOCK.read_text())
    actual = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.glob("*.jar")}
    if actual != locked:
        missing = sorted(locked.keys() - actual.keys())
        unknown = sorted(actual.keys() - locked.keys())
        changed = sorted(name for name in locked.keys() & actual.keys() if locked[name] != actual[name])
        raise Failure(
            f"Kafka's jars are not the ones of {LOCK.name}: missing {missing}, not in it {unknown}, changed {changed}. "
            "A changed jar means that the repository you use serves another file under that name: do not use it."
        )


def _fetch(progress: Progress, directory: Path) -> None:
    install_packages(progress, {"mvn": "maven"})

    def follow(line: str) -> None:
        if "Downloading" in line:
            progress.step(f"fetching {line.rpartition('/')[2]}")

    progress.step("fetching Kafka's jars")
    options = [f"-DoutputDirectory={directory}", "-DincludeScope=runtime", "-Dmdep.prependGroupId=true"]
    # --batch-mode also keeps Maven from drawing a progress bar into the log.
    progress.run(["mvn", "--batch-mode", "-f", POM, _PLUGIN, *options], on_line=follow, timeout=900)
