"""The commands of a rollout: show its plan, run it, abort it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import kubernetes
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from stack.deploy.deployment import deploy
from stack.deploy.preflight import run_preflight
from stack.kubernetes.client import connect
from stack.kubernetes.namespace import require_own_namespace
from stack.release.journal import Journal, JournalStore, Phase
from stack.release.plan import Step, plan_steps
from stack.rollout.analysis import Analysis
from stack.rollout.cluster import LiveCluster, refuse_autoscaled
from stack.rollout.gate import Finding, Verdict
from stack.rollout.judge import Judge
from stack.rollout.lock import Lock
from stack.rollout.picture import draw
from stack.rollout.report import page, plan_table, show_findings
from stack.rollout.room import missing_room, read_pod_requests, read_room
from stack.rollout.runner import Runner
from stack.rollout.start import start_or_resume
from stack.rollout.traces import Difference
from stack.settings import Settings, load_here


class Ending(Enum):
    """How a run of a rollout ends."""

    PROMOTED = "all traffic has the new version"
    ROLLED_BACK = "rolled back"
    HELD = "held at an undecided step"


_STYLES: Final = {Ending.PROMOTED: "green", Ending.ROLLED_BACK: "red", Ending.HELD: "yellow"}
_NOTHING_TO_DO: Final = "nothing to roll out: the cluster runs the version of the settings"


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """A stack whose rollout is shown or run."""

    name: str
    settings: Settings
    client: kubernetes.client.ApiClient
    journals: JournalStore
    steps: Sequence[Step]
    judge: Judge
    differences: dict[str, Sequence[Difference]] = field(default_factory=dict)
    """Title of a step → what differed in its traces."""

    def report_room(self, console: Console) -> None:
        """Prints a warning if the cluster has no room for the pods of a step. An autoscaler of nodes may make it."""
        namespace = self.settings.cluster.namespace
        try:
            nodes, pods = read_room(self.client), read_pod_requests(self.client, namespace)
        except kubernetes.client.ApiException as error:
            console.print(f"whether the cluster has room for the pods is not known: {error.reason}", style="yellow")
            return
        present = LiveCluster(client=self.client, namespace=namespace).pods()
        for line in missing_room(self.steps, present, pods, nodes):
            console.print(line, style="yellow")

    def start_or_resume(self) -> Journal | None:
        return start_or_resume(self.journals, self.settings, self.client, self.steps)


def plan(stack: str, console: Console) -> None:
    """Prints what would change, the stages, and how far the rollout is. Changes nothing.

    Raises:
        UserError: the stack cannot be reached, or the rollout cannot start.
    """
    opened = _open(stack)
    journal = opened.start_or_resume()
    if journal is None:
        console.print(_NOTHING_TO_DO)
        return
    console.print("\n".join(journal.stable.changes_to(journal.canary)))
    console.print(plan_table(opened.steps, opened.settings))
    opened.report_room(console)
    has_begun = opened.journals.read() is not None
    console.print(f"it is at stage {journal.stage} ({journal.phase.value})" if has_begun else "it has not begun")


def abort(stack: str, console: Console) -> None:
    """Moves all pods back to the stable version, and deletes the journal.

    Raises:
        UserError: the stack cannot be reached, or another rollout holds the lock.
    """
    opened = _open(stack)
    with _runner(opened, console) as runner:
        journal = opened.journals.read()
        if journal is None:
            console.print("there is no rollout to abort")
            return
        runner.abort(journal)
        console.print(f"back at {journal.stable.image}; the rollout is over")


def run(stack: str, console: Console, report: Path | None = None) -> Ending:
    """Brings the version of the settings to all traffic, and writes a report.

    Args:
        stack: its name.
        console: where progress and the result are printed.
        report: the file of the report, by default `.local/rollout-STACK.md`.

    Returns:
        How the run ended.

    Raises:
        UserError: the rollout cannot start or continue.
    """
    opened = _open(stack)
    # An error here is not a failure of the new version.
    run_preflight(stack, lambda line: console.print(f"  {line}", markup=False))
    refuse_autoscaled(opened.client, opened.settings.cluster.namespace)
    with _runner(opened, console) as runner:
        journal = opened.start_or_resume()
        if journal is None:
            console.print(_NOTHING_TO_DO)
            return Ending.PROMOTED
        opened.judge.load(journal.evidence)
        opened.report_room(console)
        changes = journal.stable.changes_to(journal.canary)
        console.print("\n".join(changes))
        started = time.monotonic()
        journal = runner.run(journal)
    outcome = _outcome(opened.steps, journal, time.monotonic() - started)
    if runner.results:
        show_findings(runner.results[-1].findings, console)
    file = report or Path(f".local/rollout-{stack}.md")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = file.with_suffix(".svg")
    picture.write_text(draw(opened.judge.curves, opened.judge.stages))
    file.write_text(page(stack, changes, runner.results, outcome, picture=picture.name, differences=opened.differences))
    ending = _ending(journal)
    console.print(outcome, style=_STYLES[ending])
    console.print(f"report: {file}")
    return ending


def _open(stack: str) -> _Stack:
    settings = load_here(stack)
    client, namespace = connect(settings.cluster), settings.cluster.namespace
    require_own_namespace(client, namespace, stack)
    return _Stack(
        name=stack,
        settings=settings,
        client=client,
        journals=JournalStore(client=client, namespace=namespace),
        steps=plan_steps(settings),
        judge=Judge(settings.rollout.gate),
    )


@contextmanager
def _runner(stack: _Stack, console: Console) -> Iterator[Runner]:
    """A runner that holds the lock while the context is open."""
    namespace = stack.settings.cluster.namespace
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
    with (
        Lock(stack.client, namespace).hold() as lock,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        yield Runner(
            steps=stack.steps,
            cluster=LiveCluster(client=stack.client, namespace=namespace),
            deploy=lambda release: console.print(f"  {deploy(stack.name, release)}", style="dim"),
            analyze=Analysis(
                settings=stack.settings,
                client=stack.client,
                require_lock=lock.require,
                judge=stack.judge,
                differences=stack.differences,
                on_progress=_AnalysisBar(progress),
            ),
            journals=stack.journals,
            require_lock=lock.require,
            on_progress=console.log,
            undecided=stack.settings.rollout.gate.undecided,
            dump_evidence=stack.judge.dump,
        )


def _ending(journal: Journal | None) -> Ending:
    if journal is None:
        return Ending.PROMOTED
    return Ending.HELD if journal.is_held else Ending.ROLLED_BACK


def _outcome(steps: Sequence[Step], journal: Journal | None, seconds: float) -> str:
    if journal is None:
        return f"all traffic has the new version, after {seconds:.0f} s"
    if journal.is_held:
        return f"held after {seconds:.0f} s, undecided; run it again to continue. {journal.reason}"
    is_degraded = journal.phase is Phase.DEGRADED
    step = "the stable version alone" if is_degraded else steps[journal.stage].title
    return f"rolled back to {step} after {seconds:.0f} s: {journal.reason}"


class _AnalysisBar:
    """Shows how far an analysis is, and which checks are not successful yet."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: Step, seconds: float, shortest: float, findings: Sequence[Finding]) -> None:
        task = self._tasks.get(step.title)
        if task is None:
            task = self._tasks[step.title] = self._progress.add_task(step.title, total=shortest, state="")
        pending = [finding.check for finding in findings if finding.verdict is not Verdict.SUCCESSFUL]
        result = f"not yet successful: {', '.join(pending)}" if pending else "successful"
        state = f"{seconds:.0f} of {shortest:.0f} s, {result}"
        self._progress.update(task, completed=min(seconds, shortest), state=state)
