"""Arguments that several commands have."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

ROOT: Final = Path(__file__).resolve().parent.parent
LOCAL: Final = "local"
MAX_AMOUNT: Final = 10_000_000
"""In s about 115 days; the functions that wait take no number without a limit."""

if TYPE_CHECKING:
    from rich.console import Console

F = Callable[..., Any]


class Amount(click.FloatRange):
    """A number of seconds, minutes or events per second. `nan` and `inf` are refused: a wait would not end."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = float(super().convert(value, param, ctx))
        if not amount <= MAX_AMOUNT:  # no comparison with `nan` is true
            self.fail(f"{amount:g} is not in the range x<={MAX_AMOUNT}.", param, ctx)
        return amount


class Count(click.IntRange):
    """A number of things."""

    name = "whole number"


COUNT: Final = Count(min=1)
AMOUNT: Final = Amount(min=0, min_open=True)


class StackName(click.ParamType[str]):
    """The name of a stack; the settings refuse an unknown one and list those that exist."""

    name = "stack"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in stack_names() if name.startswith(incomplete)]


def stack_names() -> list[str]:
    """The names of the stacks that have a file, sorted."""
    return sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def stack_argument(command: F) -> F:
    """The argument STACK; `local` where it is left out."""
    return click.argument("stack", type=StackName(), default=LOCAL)(command)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def file_option(name: str, text: str) -> Callable[[F], F]:
    """An option that takes a file to write, relative to the folder of the caller."""
    return click.option(name, type=click.Path(path_type=Path, dir_okay=False, resolve_path=True), help=text)


def console(width: int | None = None) -> "Console":
    """A console for tables.

    Args:
        width: columns where the output is no terminal.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, log_path=False)
