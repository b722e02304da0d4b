"""Tries TCP connections from the network namespaces of pods, which needs root on the machine of the cluster."""

import contextlib
import ctypes
import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from local.namespace import run
from local.nodes import ALL_NODES
from local.paths import Home

Address = tuple[str, int]
_Result = TypeVar("_Result")

_NAMESPACES: Final = "containerd/io.containerd.grpc.v1.cri/netns"
_CLONE_NEWNET: Final = 0x40000000
_LISTEN: Final = "0A"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def namespaces(home: Home) -> dict[str, Path]:
    """Return address of a pod → the file that holds its network namespace open, for the pods of all nodes."""
    files = [file for node in ALL_NODES for file in (home.node(node.name) / _NAMESPACES).glob("*")]
    with ThreadPoolExecutor(8) as workers:
        return {address: file for file, address in zip(files, workers.map(_address, files), strict=True) if address}


def _address(file: Path) -> str | None:
    """The address that packets of the namespace get; None if its pod has ended."""

    def source() -> str | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # sends nothing, but chooses the source
            return str(probe.getsockname()[0])
        return None

    with contextlib.suppress(OSError):
        return within(file, source)
    return None


def within(namespace: Path, action: Callable[[], _Result]) -> _Result:
    """Return the result of a function that runs in a network namespace, in a thread of its own.

    Raises:
        OSError: the namespace cannot be entered.
    """

    def entered() -> _Result:
        descriptor = os.open(namespace, os.O_RDONLY)
        try:
            if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(descriptor)
        return action()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(entered).result()


def reached(addresses: Iterable[Address], seconds: float) -> set[Address]:
    """Return the addresses that answer, with a connection or a refusal, within the time; in the current namespace."""
    answered: set[Address] = set()
    with contextlib.ExitStack() as sockets, selectors.DefaultSelector() as selector:
        for address in addresses:
            connection = sockets.enter_context(socket.socket())
            connection.setblocking(False)
            code = connection.connect_ex(address)
            if code == errno.EINPROGRESS:
                selector.register(connection, selectors.EVENT_WRITE, address)
            elif code in (0, errno.ECONNREFUSED):
                answered.add(address)
        end = time.monotonic() + seconds
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                selector.unregister(ready)
                if ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
                    answered.add(key.data)
    return answered


def reached_from(callers: Mapping[str, Path], addresses: Iterable[Address], seconds: float) -> dict[str, set[Address]]:
    """Return caller → the addresses that answer it. All callers try all addresses at the same time."""
    requested = list(addresses)
    with ThreadPoolExecutor(len(callers) or 1) as workers:
        results = workers.map(lambda file: within(file, lambda: reached(requested, seconds)), callers.values())
        return dict(zip(callers, results, strict=True))


def listening(namespace: Path) -> set[int]:
    """Return the TCP ports that a pod's programs listen on, other than for the pod itself."""
    lines = run("nsenter", f"--net={namespace}", "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    ports: set[int] = set()
    for words in (line.split() for line in lines):
        if len(words) < 4 or words[3] != _LISTEN:
            continue
        host, _, port = words[1].partition(":")
        if host not in ("0100007F", "00000000000000000000000001000000"):
            ports.add(int(port, 16))
    return ports
