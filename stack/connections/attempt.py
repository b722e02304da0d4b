"""Runs in a pod: `python3 -c SOURCE SECONDS HOST:PORT…` prints a JSON list of how each TCP connection went.

It needs the standard library alone, and sends nothing on the connections that it opens.
"""

import json
import socket
import sys
import threading
import time


def attempt(address: str, seconds: float, result: dict[str, object]) -> None:
    """Looks up a host, connects to its port, and notes the outcome and the time in ms."""
    host, _, port = address.rpartition(":")
    started = time.monotonic()
    try:
        family, kind, _, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        result["outcome"] = "timed out"
        with socket.socket(family, kind) as connection:
            connection.settimeout(seconds)
            connection.connect(target)
        result["outcome"] = "OK"
    except socket.gaierror as error:
        result["outcome"] = f"name not resolved: {error.strerror}"
    except TimeoutError:
        result["outcome"] = "timed out"
    except ConnectionRefusedError:
        result["outcome"] = "refused"
    except OSError as error:
        result["outcome"] = error.strerror or type(error).__name__
    result["ms"] = round((time.monotonic() - started) * 1000, 1)


def attempts(addresses: list[str], seconds: float) -> list[dict[str, object]]:
    """Tries all at the same time.

    The lookup of a name has no limit of its own, so the threads are left after the limit.
    """
    unresolved = {"outcome": f"name not resolved within {seconds:g} s", "ms": seconds * 1000}
    results: list[dict[str, object]] = [{"address": address, **unresolved} for address in addresses]
    threads = [
        threading.Thread(target=attempt, args=(address, seconds, result), daemon=True)
        for address, result in zip(addresses, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds + 0.5
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [dict(result) for result in results]


if __name__ == "__main__":
    print(json.dumps(attempts(sys.argv[2:], float(sys.argv[1]))))
