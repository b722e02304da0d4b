"""`python -m service.gateway`: serves until SIGTERM."""

import sys

from contracts.services import GATEWAY
from service.common.server import run
from service.gateway.bootstrap import build
from service.gateway.config import GatewaySettings

if __name__ == "__main__":
    sys.exit(run(GATEWAY, GatewaySettings, build))
