"""Object storage for tests: the real S3 server, and the settings of a stack that uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checks.harness.certificates import self_signed
from checks.harness.s3 import S3Server, binary
from local.failure import Failure
from stack.components.shared.object_storage import CA_FILE, S3, ObjectStorage
from tests.support.programs import skip_missing

BUCKET = "telemetry"


class Storage:
    """A server with one bucket."""

    def __init__(self, directory: Path) -> None:
        key, certificate = self_signed("localhost")
        self._ca = certificate.decode()
        self.server = S3Server(directory, key, certificate)
        self.bucket = self.server.make_bucket(BUCKET)
        """Folder with the objects."""

    def settings(self, prefix: str) -> ObjectStorage:
        """Return the settings of a client."""
        s3 = S3(bucket=BUCKET, endpoint=self.server.endpoint, region="us-east-1", force_path_style=True, ca=self._ca)
        return ObjectStorage(s3=s3, prefix=prefix)

    def trust(self, directory: Path) -> None:
        """Write the certificate to where a client's configuration expects it."""
        (directory / CA_FILE).write_text(self._ca)

    def files(self, prefix: str) -> list[Path]:
        """Return the objects with a prefix."""
        return [file for file in (self.bucket / prefix).rglob("*") if file.is_file()]


@contextmanager
def object_storage(directory: Path) -> Iterator[Storage]:
    """Run the server in a new directory; skip the test if it cannot be compiled."""
    try:
        binary()
    except Failure as reason:
        skip_missing("versitygw", str(reason))
    directory.mkdir()
    storage = Storage(directory)
    storage.server.start()
    try:
        yield storage
    finally:
        storage.server.kill()


def empty(directory: Path) -> None:
    """Delete what a program has on its disk."""
    shutil.rmtree(directory)
