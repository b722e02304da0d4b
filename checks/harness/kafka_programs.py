"""Kafka's programs on this machine: the jars, and an archive of their classes with which a JVM starts in half the time.

Both are made once, in the folder of this machine's programs.
"""

import hashlib
import shutil
import socket
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from checks.harness.collector import MissingProgram
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from local.archive import Layer
from local.files import exclusive_lock
from local.images.cache import LayerCache
from local.images.kafka import LIBRARIES, PREVIOUS, kafka_key, kafka_layers
from local.jobs import Progress
from local.paths import Home
from stack.components.kafka.component import CLUSTER_ID

QUICK_START: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options of a JVM that runs for a short time."""
_LIMIT: Final = 120.0
"""Seconds of one step, also for a broker that writes the archive on a busy machine."""
_LOCK_LIMIT: Final = 4 * _LIMIT
"""Seconds until another process has extracted the jars, or made the archive in three steps."""


def libraries() -> str:
    """Returns the class path of Kafka's programs.

    Raises:
        MissingProgram: the machine has no Kafka image, or no Java.
    """
    _require_java()
    layer = LayerCache().get("kafka", kafka_key())
    if layer is None:
        raise MissingProgram("no Kafka to run: `./wct images build kafka` builds it, and so does `make up`")
    return _class_path(layer)


def previous_libraries() -> str:
    """Returns the class path of the version before; its jars are fetched if they have not been.

    Raises:
        MissingProgram: the machine has no Java.
    """
    _require_java()
    home = Home.default()
    return _class_path(kafka_layers(_progress(), LayerCache(home.images), PREVIOUS)[-1])


@cache
def options(class_path: str) -> tuple[str, ...]:
    """Returns the options of a JVM that runs one of the programs.

    Without a shared archive a broker needs twice the CPU time until it is ready, and so does each of the commands: most
    of it loads and verifies classes. A JVM that cannot use an archive, such as one of another version, does without it.
    """
    java = Path(_require_java()).resolve()
    state = f"{java} {java.stat().st_mtime_ns} {java.stat().st_size} {QUICK_START}"
    folder = Path(class_path).parents[len(Path(LIBRARIES).parts)]
    archive = folder / f"classes-{hashlib.sha256(state.encode()).hexdigest()[:12]}.jsa"
    with exclusive_lock(folder / "classes.lock", _progress(), holder="another archive of classes", timeout=_LOCK_LIMIT):
        if not archive.exists():
            _archive_classes(class_path, archive)
    # Otherwise the JVM warns, among the output of the program, of an archive that it cannot use.
    return (*QUICK_START, f"-XX:SharedArchiveFile={archive}", "-Xlog:cds*=off")


def _archive_classes(class_path: str, archive: Path) -> None:
    """Runs a broker, which writes the classes that it has loaded when it ends. The commands use a part of them."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="broker-") as name:
        directory = Path(name)
        written, port, controller = directory / archive.name, free_port(), free_port()
        configuration = directory / "server.properties"
        lines = (
            "process.roles=broker,controller",
            "node.id=1",
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names=CONTROLLER",
            f"controller.quorum.voters=1@127.0.0.1:{controller}",
            f"log.dirs={directory / 'data'}",
        )
        configuration.write_text("\n".join(lines))
        java = ["java", *QUICK_START, "-cp", class_path]
        storage = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(configuration)]
        subprocess.run([*java, *storage], check=True, capture_output=True, timeout=_LIMIT)

        def listens() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        broker = [java[0], f"-XX:ArchiveClassesAtExit={written}", *java[1:], "kafka.Kafka", str(configuration)]
        process = ServerProcess("broker", broker, directory, listens)
        try:
            process.start(_LIMIT)
            process.stop(_LIMIT)
        finally:
            process.kill()
        written.rename(archive)


def _class_path(layer: Layer) -> str:
    """Returns the class path of the jars of a layer, which are extracted once."""
    folder = Home.default().root / "tools" / layer.path.stem
    lock = folder.with_suffix(".lock")
    with exclusive_lock(lock, _progress(), holder="another job that extracts the jars", timeout=_LOCK_LIMIT):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-") as name:
                extracted = Path(name) / "layer"
                with tarfile.open(layer.path) as archive:
                    archive.extractall(extracted, filter="data")
                extracted.rename(folder)
    return f"{folder / LIBRARIES}/*"


def _progress() -> Progress:
    return Progress("kafka-programs", logs=Home.default().logs)


def _require_java() -> str:
    if java := shutil.which("java"):
        return java
    raise MissingProgram("no java on PATH: install a Java runtime, 17 or newer")
