"""`python -m service.task_manager`: serves until SIGTERM."""

import sys

from contracts.services import TASK_MANAGER
from service.common.server import run
from service.task_manager.bootstrap import build
from service.task_manager.config import TaskManagerSettings

if __name__ == "__main__":
    sys.exit(run(TASK_MANAGER, TaskManagerSettings, build))
