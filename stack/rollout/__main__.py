"""`make rollout STACK=…`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import kubernetes
import urllib3
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from stack.components.services.versions import NAMES
from stack.deploy.deployment import deploy
from stack.deploy.policy import PolicyError
from stack.deploy.preflight import run_preflight
from stack.errors import DeployError
from stack.kubernetes.autoscaling import autoscalers
from stack.kubernetes.client import connect
from stack.kubernetes.namespace import require_own_namespace
from stack.release.journal import Journal, Store
from stack.release.plan import Step, running, steps, wanted
from stack.rollout.gate import Finding, Verdict
from stack.rollout.lock import Lock, RolloutError
from stack.rollout.report import page, show
from stack.rollout.run import LiveCluster, Walk
from stack.rollout.soak import Soak
from stack.settings import Settings, SettingsError, load_here

_LOOK_BACK_SECONDS: Final = 300.0
"""Before a rollout, for its first stage if that has no pods of the version before."""


def plan_table(planned: Sequence[Step], settings: Settings) -> Table:
    """What the stages will be."""
    table = Table(title="Stages: pods of the old + the new version")
    for column in ("stage", "asked", "is", "gateway", "task-manager", "web-crawler", "sampling", "at least"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for step in planned:
        if step.stage is None:
            continue
        rate = settings.tracing.sampling_rate if step.stage.sampling_rate is None else step.stage.sampling_rate
        table.add_row(
            str(step.number),
            f"{step.stage.share:.0%}",
            f"{step.share:.0%}",
            *(f"{split.baseline} + {split.canary}" for split in step.splits.values()),
            f"{rate:g}",
            f"{step.stage.soak_seconds} s",
        )
    return table


def _begin(
    store: Store, settings: Settings, client: kubernetes.client.ApiClient, planned: Sequence[Step]
) -> Journal | None:
    """The journal to go on from; None if there is nothing to roll out.

    Raises:
        RolloutError: nothing runs yet, or something else is half-way.
    """
    after = wanted(settings)
    journal = store.read()
    if journal is not None and journal.under_way and journal.after != after:
        raise RolloutError(
            f"another version is at stage {journal.stage} of its rollout ({journal.after.image}), and the settings say "
            f"{after.image}: end that one first, with `--abort`"
        )
    if journal is not None and journal.under_way and journal.stage >= len(planned):
        raise RolloutError("there are fewer stages in the settings than when the rollout began: `--abort` ends it")
    if journal is not None and journal.phase in ("moving", "soaking", "returning", "finishing"):
        return journal
    if journal is not None and journal.phase == "held":
        return journal.at("moving", time.time(), stage=journal.good + 1)
    before = running(client, settings.cluster.namespace)
    if before is None:
        raise RolloutError("nothing runs yet, so there is nothing to compare with: deploy it first")
    if before == after:
        return None
    now = time.time()
    beside = (now - _LOOK_BACK_SECONDS, now)
    return Journal(before=before, after=after, stage=1, good=0, phase="moving", since=now, beside=beside)


def _refuse_autoscaled(client: kubernetes.client.ApiClient, namespace: str) -> None:
    """Nothing, unless an autoscaler decides how many pods of a service there are.

    Raises:
        RolloutError: it would change the share of the traffic that the new version gets.
    """
    for (_, workload), autoscaler in autoscalers(client, namespace, ()).items():
        if workload in NAMES.values():
            hpa = autoscaler.name
            raise RolloutError(
                f"horizontalpodautoscaler/{hpa} decides how many pods of {workload} there are, and a rollout splits "
                f"them between two versions: delete it (`kubectl -n {namespace} delete hpa {hpa}`), and make it again "
                "after the rollout"
            )


def main() -> None:
    """Exit code 0: all traffic has the new version; 1: it went back; 2: it could not begin or go on."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.rollout",
        description="Bring a changed image or tracing to the traffic in steps, each let through by what the system "
        "shows. Interrupted, it goes on from there when it is run again. "
        "Exit code 0: done; 1: it went back; 2: it could not begin or go on.",
    )
    parser.add_argument("stack", help="for example local or prod")
    parser.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("--abort", action="store_true", help="go back to the version before, and forget the rollout")
    parser.add_argument("--report", type=Path, help="where to write it (.local/rollout-STACK.md)")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, log_path=False)
    # As an interrupt from the keyboard: what was begun is put down in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(_run(asked, console))
    except (SettingsError, DeployError, RolloutError, PolicyError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        what = getattr(error, "reason", "") or type(error).__name__
        print(f"error: the cluster did not take a request ({what}); run this again to go on from here", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here, or with --abort to go back", file=sys.stderr)
        sys.exit(2)


def _run(asked: argparse.Namespace, console: Console) -> int:
    settings = load_here(asked.stack)
    client = connect(settings.cluster)
    require_own_namespace(client, settings.cluster.namespace, asked.stack)
    store = Store(client=client, namespace=settings.cluster.namespace)
    planned = steps(settings)
    if asked.plan:
        journal = _begin(store, settings, client, planned)
        if journal is None:
            console.print("nothing to roll out: what runs is what the settings say")
            return 0
        console.print("\n".join(journal.before.differences(journal.after)))
        console.print(plan_table(planned, settings))
        console.print(f"it is at stage {journal.stage} ({journal.phase})" if store.read() else "it has not begun")
        return 0
    if not asked.abort:
        # An error here is not a failure of the new version.
        run_preflight(asked.stack, lambda line: console.print(f"  {line}", markup=False))
        _refuse_autoscaled(client, settings.cluster.namespace)
    with Lock(client, settings.cluster.namespace).held() as lock, _progress(console) as progress:
        walk = Walk(
            steps=planned,
            cluster=LiveCluster(client=client, namespace=settings.cluster.namespace),
            deploy=lambda release: console.print(f"  {deploy(asked.stack, release)}", style="dim"),
            soak=Soak(settings=settings, client=client, may_go_on=lock.check, told=_Bar(progress)),
            store=store,
            may_go_on=lock.check,
            say=console.log,
        )
        if asked.abort:
            journal = store.read()
            if journal is None:
                console.print("there is no rollout to end")
                return 0
            walk.back(journal)
            console.print(f"back at {journal.before.image}; the rollout is forgotten")
            return 0
        journal = _begin(store, settings, client, planned)
        if journal is None:
            console.print("nothing to roll out: what runs is what the settings say")
            return 0
        changes = journal.before.differences(journal.after)
        console.print("\n".join(changes))
        began = time.monotonic()
        failed = walk.forward(journal)
    seconds = time.monotonic() - began
    if failed is None:
        outcome = f"all traffic has the new version, after {seconds:.0f} s"
    else:
        where = "the version before alone" if failed.phase == "failed" else planned[failed.stage].title
        outcome = f"went back to {where} after {seconds:.0f} s: {failed.reason}"
    if walk.passages:
        show(walk.passages[-1].findings, console)
    file = asked.report or Path(f".local/rollout-{asked.stack}.md")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(asked.stack, changes, walk.passages, outcome))
    console.print(outcome, style="red" if failed else "green")
    console.print(f"report: {file}")
    return 1 if failed else 0


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
    return Progress(*columns, console=console, transient=True)


class _Bar:
    """How far a soak is, and what it still waits for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, object] = {}

    def __call__(self, step: Step, seconds: float, shortest: float, findings: Sequence[Finding]) -> None:
        task = self._tasks.get(step.title)
        if task is None:
            task = self._tasks[step.title] = self._progress.add_task(step.title, total=shortest, state="")
        undecided = [finding.gate for finding in findings if finding.verdict is not Verdict.GOOD]
        state = f"{seconds:.0f} of {shortest:.0f} s" + (f", open: {', '.join(undecided)}" if undecided else ", good")
        self._progress.update(task, completed=min(seconds, shortest), state=state)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
