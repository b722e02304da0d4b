"""The development mode's output: logs to a file, and warnings, greeting and results to the console."""

import json
import logging
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from contracts import http
from contracts.services import CRAWLER
from contracts.tasks import TaskStatus
from lean_tracing.logs import JsonFormatter
from lean_tracing.redaction import Redactor
from service.dev.system import System
from service.dev.tree import colour

_LONGEST_TEXT: Final = 200


class _Warnings(logging.Handler):
    """Prints warnings and errors between the trees, one line each; the log file has all records."""

    def __init__(self, console: Console, redactor: Redactor) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record's message, without its stack."""
        colour = "red" if record.levelno >= logging.ERROR else "yellow"
        message = self._redactor.text(record.getMessage())
        self._console.print(Text.assemble((f"{record.levelname.lower()} ", colour), message))


def configure_logging(path: Path, console: Console) -> None:
    """Writes all records to `path` as JSON, and warnings to the console."""
    redactor = Redactor("development")
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(JsonFormatter("development", redactor))
    logging.basicConfig(level=logging.INFO, handlers=[handler, _Warnings(console, redactor)], force=True)
    for verbose_logger, level in (("httpx", logging.WARNING), ("librdkafka", logging.ERROR)):
        logging.getLogger(verbose_logger).setLevel(level)


def greet(console: Console, system: System, log: Path, seconds: float) -> None:
    """Prints the addresses of the services and an example of a request."""
    body = {"user_email": "ada@example.com", "user_query": "What is here?", "base_url": f"{system.gateway}{http.DEMO}"}
    console.print(f"ready in {seconds:.1f} s; Ctrl-C stops the services")
    for name, url in system.urls.items():
        page = http.HEALTH if name == CRAWLER else "/docs"
        console.print(Text.assemble(f"  {name:<14}", (f"{url}{page}", colour(name))))
    console.print(Text.assemble("  logs          ", str(log)))
    # The mock brokers answer a waiting fetch only at the end of its wait.
    console.print("The mock brokers deliver a message up to 0.5 s late; a real Kafka does not.", style="dim")
    console.print("\nTry, in another terminal:\n")
    console.print(
        f"curl {system.gateway}{http.TASKS} -H 'Content-Type: application/json' -d '{json.dumps(body)}'\n",
        soft_wrap=True,
        markup=False,
    )


def refused(console: Console, problem: dict[str, Any]) -> None:
    """Prints why the gateway refused the task."""
    reasons = [f"{each['field']}: {each['reason']}" for each in problem.get("errors", ())]
    console.print(Text.assemble(("refused ", "bold red"), "; ".join(reasons) or json.dumps(problem)))


def finished(console: Console, task: dict[str, Any]) -> bool:
    """Prints the task's result, and returns whether its page was crawled."""
    result = task.get("result") or {}
    is_completed = task.get("status") == TaskStatus.COMPLETED
    if is_completed:
        title = result.get("title") or "(no title)"
        console.print(Text.assemble(("completed ", "bold green"), f"{title}: {result.get('text', '')[:_LONGEST_TEXT]}"))
    else:
        reason = result.get("error", "the task has no result")
        console.print(Text.assemble((f"{task.get('status', 'lost')} ", "bold red"), reason))
    return is_completed
