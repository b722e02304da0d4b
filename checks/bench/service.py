"""A service that starts, with or without tracing, and ends: it prints how long that took as one line of JSON.

It imports FastAPI, SQLAlchemy and Kafka's client with all variants, and what the variant needs besides.
"""

import json
import os
import sys
import time
from typing import cast

from checks.bench.application import build
from checks.bench.instrumentation import Variant
from checks.bench.usage import cpu_seconds
from checks.bench.variants import load


def main() -> None:
    """Start, and print the clock and the CPU time at which the service could take a request."""
    variant, name, receiver = sys.argv[1:]
    instrumentation = load(cast(Variant, variant), "on", name, receiver)
    instrumentation.application(build(lambda _: None))
    print(json.dumps({"ready": time.monotonic(), "cpu": cpu_seconds()}), flush=True)
    os._exit(0)  # the end is not measured


if __name__ == "__main__":
    main()
