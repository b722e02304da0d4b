"""Serves the Pulumi program to the CLI from this process.

The CLI would start a language host, and that a second Python, which imports the SDKs again: this process has them. The
program is the same, and runs only with the engine's configuration, so plain `pulumi up` declares the same.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

_MESSAGE_BYTES: Final = 400 * 2**20
"""As the CLI's own limit."""


@contextlib.contextmanager
def serve_program(program: Callable[[], None]) -> Iterator[tuple[str, ...]]:
    """Serves a program while the context is open.

    `Stack.up(program=…)` does so too, but then asks for outputs and history: three more processes, 1.2 s.

    Args:
        program: called once for each run that the CLI asks for, in another thread.

    Yields:
        The arguments with which the CLI runs the program.
    """
    with ThreadPoolExecutor(thread_name_prefix="pulumi-program") as threads:
        server = grpc.server(threads, options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)])
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"
        finally:
            server.stop(grace=None).wait()
