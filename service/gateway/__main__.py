"""`python -m service.gateway`: serves until SIGTERM."""

import sys

from service.common.server import run
from service.gateway.bootstrap import NAME, build
from service.gateway.config import GatewaySettings

if __name__ == "__main__":
    sys.exit(run(NAME, GatewaySettings, build))
