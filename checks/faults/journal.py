"""The journal of the faults that are in the cluster, so that another process can undo them if this one is killed."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from contracts.errors import UserError
from stack.settings import ROOT

JOURNAL: Final = ROOT / ".local" / "fault.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the journal knows of a fault."""

    fault: str
    change: dict[str, Any]
    """The change, as `changes.to_json` writes it."""
    started: str
    process: int


class BusyError(UserError):
    """Another process injects faults."""

    def __init__(self, process: int | None) -> None:
        super().__init__(
            f"process {process or 'unknown'} injects faults already; `./wct check drill --stop` ends it, and undoes "
            "its fault"
        )
        self.process = process


class Journal:
    """One file. It has an entry for each fault, from just before its injection until it is undone."""

    def __init__(self, path: Path = JOURNAL) -> None:
        self._path = path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from injecting faults while the context is open.

        Raises:
            BusyError: another process does.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise BusyError(int(file.read() or 0) or None) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def read(self) -> list[Entry]:
        """The faults that are in the cluster, in the order of their injection.

        Raises:
            UserError: the file is damaged.
        """
        try:
            return [Entry(**entry) for entry in json.loads(self._path.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise UserError(
                f"the journal of faults {self._path} is damaged ({error}). Deploy the stack with `make deploy`, "
                "delete its pods, then delete the file"
            ) from None

    def add(self, fault: str, change: dict[str, Any]) -> None:
        """Stores a fault on the disk, before it is injected."""
        entry = Entry(fault=fault, change=change, started=datetime.now(UTC).isoformat(), process=os.getpid())
        self._write([*self.read(), entry])

    def remove(self, fault: str) -> None:
        """Removes a fault, after it is undone."""
        if rest := [entry for entry in self.read() if entry.fault != fault]:
            self._write(rest)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self, entries: list[Entry]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        # A change may have a password in it.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump([asdict(entry) for entry in entries], file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
