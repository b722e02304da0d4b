"""The end of a program that works until it is stopped."""

import signal
import threading


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
