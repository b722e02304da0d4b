"""Programs that prove what the project promises, or measure it. All but `coverage` need the local stack or none."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.exceptions import Exit

from cli.group import Command, LazyGroup, exit_on_termination
from cli.options import AMOUNT, COUNT, Amount, console, file_option, stack_argument
from contracts.errors import UserError

if TYPE_CHECKING:
    from checks.bench.path_servers import Store
    from checks.bench.prediction import Part
    from checks.bench.scenarios import ScenarioName


@click.group(
    cls=LazyGroup,
    commands_at={
        name: f"cli.checks:{name.replace('-', '_')}"
        for name in (
            "bench",
            "capacity",
            "path",
            "prediction",
            "outage",
            "coverage",
            "chaos",
            "detect",
            "drill",
            "ha",
            "manifests",
            "network",
            "rollouts",
            "rotations",
            "security",
            "supply-chain",
            "upgrades",
            "verdicts",
        )
    },
)
def check() -> None:
    """Prove what the project promises, or measure it; checks/README.md lists what each program needs."""


@click.command(cls=Command)
@click.option(
    "--only",
    multiple=True,
    metavar="GROUP",
    help="Only this group of attacks; checks/README.md has their names. May be repeated.",
)
@click.option("--count", type=COUNT, default=10_000, help="Attempts of a group (10,000).")
@click.option("--seed", type=int, default=1, help="Decides the attempts (1).")
def security(only: tuple[str, ...], count: int, seed: int) -> None:
    """Attack a gateway and a task-manager of this machine, and count what gets in and what leaks out.

    Forged tokens, guessed API keys, other callers' tasks, requests past the gateway, secrets in telemetry and messages.
    """
    from checks.security.command import ATTACKS, run

    if unknown := set(only) - ATTACKS.keys():
        raise click.BadParameter(f"there is no group {min(unknown)!r}; there are {', '.join(ATTACKS)}")
    raise Exit(0 if run(console(180), only=only, count=count, seed=seed) else 1)


SCENARIOS: Final = ("span", "varied", "sql", "produce", "consume", "request", "create", "process", "serve")
"""Of `bench`; their module is imported when the command runs."""
record_option = click.option(
    "--record",
    "must_record",
    is_flag=True,
    help="Keep the results as the figures of `wct capacity`, with their date.",
)


@click.command(cls=Command)
@click.option("--quick", is_flag=True, help="Measure fewer rounds.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(SCENARIOS),
    metavar="NAME",
    help="Only this scenario; the answer to an unknown name lists them. May be repeated.",
)
@file_option("--json", "Write every round to this file (a new one in .local/bench).")
@click.option(
    "--alternatives",
    "with_alternatives",
    is_flag=True,
    help="Measure ddtrace and Logfire too; the first run installs them into an environment of their own.",
)
@click.option("--check", "must_meet_goals", is_flag=True, help="Exit with 1 if a goal is missed.")
@record_option
def bench(
    quick: bool,
    only: tuple["ScenarioName", ...],
    json: Path | None,
    with_alternatives: bool,
    must_meet_goals: bool,
    must_record: bool,
) -> None:
    """Measure what tracing costs: without tracing, with the stock instrumentation, with this library.

    checks/README.md says which variant takes part in which scenario.
    """
    from checks.bench.command import run

    is_good = run(
        console(120),
        quick=quick,
        only=only,
        json_file=json,
        with_alternatives=with_alternatives,
        must_meet_goals=must_meet_goals,
        must_record=must_record,
    )
    raise Exit(0 if is_good else 1)


@click.command(cls=Command)
@click.option("--rounds", type=COUNT, default=5, help="Rounds of each configuration, in turns (5).")
@click.option("--seconds", type=AMOUNT, default=4, help="Seconds of load in each round (4).")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only this configuration, compared with a plain one; the answer to an unknown name lists them. "
    "May be repeated.",
)
@record_option
def capacity(rounds: int, seconds: float, only: tuple[str, ...], must_record: bool) -> None:
    """Measure the spans per second that a Collector takes with one core, compared with a plain one."""
    from checks.bench.capacity import run

    run(console(140), rounds=rounds, seconds=seconds, only=only, must_record=must_record)


@click.command(cls=Command)
@click.option(
    "--rate", type=AMOUNT, default=2000, help="Spans per second (2,000); another run of each round has a quarter."
)
@click.option("--seconds", type=AMOUNT, default=10, help="Seconds of load in each run (10).")
@click.option("--rounds", type=COUNT, default=3, help="Rounds (3).")
@click.option("--store", type=click.Choice(["jaeger", "tempo"]), default="jaeger", help="Trace store (jaeger).")
@click.option("--one-pass", is_flag=True, help="With the Collector of the project, which redacts in one pass.")
@record_option
def path(rate: float, seconds: float, rounds: int, store: "Store", one_pass: bool, must_record: bool) -> None:
    """Measure what a span costs in Collector, Kafka, sampler and trace store: CPU time, and bytes on each disk."""
    from checks.bench.path_report import run

    run(
        console(120),
        rate=rate,
        seconds=seconds,
        rounds=rounds,
        store=store,
        own_distribution=one_pass,
        must_record=must_record,
    )


@click.command(cls=Command)
@click.option("--store", type=click.Choice(["jaeger", "tempo"]), default="jaeger", help="Trace store (jaeger).")
@click.option("--seconds", type=AMOUNT, default=10, help="Seconds of load at each rate (10).")
@click.option(
    "--only",
    type=click.Choice(["path", "outage"]),
    help="Only CPU and bytes on the path, or only outages of Jaeger; by default both.",
)
@click.option("--record", "must_record", is_flag=True, help="Write the tables into docs/capacity.md.")
def prediction(store: "Store", seconds: float, only: "Part | None", must_record: bool) -> None:
    """Compare what the capacity plan predicts with real servers, at three rates and in an outage of the store."""
    from checks.bench.prediction import run

    parts: tuple[Part, ...] = (only,) if only else ("path", "outage")
    raise Exit(0 if run(console(120), store=store, seconds=seconds, parts=parts, must_record=must_record) else 1)


@click.command(cls=Command)
@click.option("--seconds", type=COUNT, default=300, help="How long the Collector is unavailable, in all (300).")
@click.option("--repeats", type=COUNT, default=1, help="Number of outages (1).")
def outage(seconds: int, repeats: int) -> None:
    """Stop the Collector under load, and count the spans."""
    from checks.bench.collector_outage import run

    run(seconds=seconds, repeats=repeats)


@click.command(cls=Command)
@stack_argument
@click.option("--operations", type=COUNT, default=10_000, help="Number of operations (10,000).")
@click.option("--malformed", type=click.IntRange(min=0), help="How many of them are malformed (a tenth).")
@click.option("--seed", type=int, default=4, help="Another seed makes another mix (4).")
def coverage(stack: str, operations: int, malformed: int | None, seed: int) -> None:
    """Compare the traces of 10,000 operations with the ledger of what was done."""
    from checks.coverage.command import coverage

    outcome = coverage(stack, operations=operations, malformed=malformed, seed=seed)
    raise Exit(1 if outcome.failed else 0)


@click.command(cls=Command)
@click.option("--spans", type=COUNT, default=1_000_000, help="Spans to send until they are acknowledged (1,000,000).")
@click.option("--rate", type=AMOUNT, default=800, help="Spans per second (800).")
@click.option("--collectors", type=COUNT, default=3, help="Number of Collectors (3).")
@click.option("--kills", type=click.IntRange(min=0), default=20, help="How often a Collector is killed (20).")
@click.option(
    "--unavailable",
    "--away",
    "unavailable",
    type=Amount(min=0),
    default=600,
    help="Seconds without a store (600).",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=SECONDS]",
    help="Only this fault; the answer to an unknown name lists them. May be repeated.",
)
@click.option("--seed", type=int, help="Order and targets of the faults (random, printed).")
def chaos(
    spans: int, rate: float, collectors: int, kills: int, unavailable: float, faults: tuple[str, ...], seed: int | None
) -> None:
    """Kill Collectors and the trace store under load, then look up every acknowledged span."""
    from checks.chaos.command import chaos

    exit_on_termination()  # so that the stack is deployed as it is declared
    result = chaos(
        console(120),
        spans=spans,
        rate=rate,
        collectors=collectors,
        kills=kills,
        unavailable_seconds=unavailable,
        faults=faults,
        seed=seed,
    )
    if result.verdict.lost:
        raise UserError(f"{len(result.verdict.lost)} acknowledged spans are not in the store")


@click.command(cls=Command)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME",
    help="Only this fault, of those that `wct check drill --list` prints. May be repeated.",
)
@click.option("--rate", type=AMOUNT, default=10, help="Requests per second meanwhile (10).")
@click.option("--quiet", type=AMOUNT, metavar="SECONDS", help="No faults: normal traffic, and no alert may fire.")
def detect(faults: tuple[str, ...], rate: float, quiet: float | None) -> None:
    """Inject faults into the local stack, and measure the time until an alert fires."""
    from checks.detect.command import detect, watch

    exit_on_termination()  # so that each fault is removed
    if quiet:
        if false_alarms := watch(console(140), quiet, rate=rate):
            raise UserError(f"false alarms: {', '.join(sorted(false_alarms))}")
        return
    detections = detect(console(140), names=faults, rate=rate)
    if late := [detection.fault for detection in detections if not detection.is_in_time]:
        raise UserError(f"detected too late or not at all: {', '.join(late)}")


@click.command(cls=Command)
@stack_argument
@click.option("--fault", "names", multiple=True, metavar="NAME", help="One of these faults; by default of all.")
@click.option("--list", "list_names", is_flag=True, help="Print the names of the faults, for trainers.")
@click.option("--stop", "must_stop", is_flag=True, help="End a running drill, or undo what a killed one left.")
@click.option("--verify", "must_verify", is_flag=True, help="Inject all faults in turn; each must show, and end.")
@click.option("--answer", "answers", multiple=True, help="A line in place of the terminal's. May be repeated.")
@file_option("--answers-from", "Read lines that are written into this file or named pipe, not the terminal.")
@click.option("--rounds", type=COUNT, default=1, help="Number of faults, one after the other (1).")
@click.option("--seed", type=int, help="The same seed chooses the same faults.")
@click.option("--seconds", type=AMOUNT, default=1800, help="The time for each answer (1,800).")
@click.option("--warm-up", type=AMOUNT, default=20, help="Seconds of traffic before the fault (20).")
@click.option("--rate", type=AMOUNT, default=10, help="Requests per second meanwhile (10).")
def drill(
    stack: str,
    names: tuple[str, ...],
    list_names: bool,
    must_stop: bool,
    must_verify: bool,
    answers: tuple[str, ...],
    answers_from: Path | None,
    rounds: int,
    seed: int | None,
    seconds: float,
    warm_up: float,
    rate: float,
) -> None:
    """Inject faults into the local stack, and let an engineer find them; docs/on-call.md is the guide."""
    from checks.drill import command

    if list_names:
        click.echo("\n".join(command.list_names()))
        return
    exit_on_termination()  # so that the fault is undone
    if must_stop:
        command.stop(console(120))
        return
    if must_verify:
        from checks.drill.verify import verify

        verifications = verify(console(140), names=names, rate=rate, warm_up=warm_up)
        if wrong := [item.fault for item in verifications if not item.is_right]:
            raise UserError(f"not as the catalogue says: {', '.join(wrong)}")
        return
    played = command.drill(
        console(120),
        names=names,
        answers=answers,
        answers_from=answers_from,
        rounds=rounds,
        seed=seed,
        seconds=seconds,
        warm_up=warm_up,
        rate=rate,
        stack=stack,
    )
    raise Exit(0 if len(played) == rounds and all(item.result.is_solved for item in played) else 1)


@click.command(cls=Command)
@click.option(
    "--rows",
    metavar="NAMES",
    help="Only these rows, with their outage if it differs: pod-kafka,node-cut-2:120. The answer to an unknown name "
    "lists them.",
)
@click.option("--minutes", type=AMOUNT, default=10, help="Window of each row, which contains the fault (10).")
@click.option("--outage", type=AMOUNT, default=120, help="Seconds that a fault with a duration lasts (120).")
@click.option("--rate", type=AMOUNT, default=20, help="Requests per second (20).")
@click.option("--spans-rate", type=AMOUNT, default=100, help="Spans per second, besides those of the requests (100).")
@click.option("--small", is_flag=True, help="One Jaeger in place of the parts of Tempo, and no Loki.")
def ha(rows: str | None, minutes: float, outage: float, rate: float, spans_rate: float, small: bool) -> None:
    """Lose nodes, zones, pods and stores of a stack like prod on three nodes, and update it, under load."""
    from checks.ha.command import ha

    exit_on_termination()  # so that nodes come back, and the stack is removed
    names = rows.split(",") if rows else ()
    results = ha(
        console(160), names=names, minutes=minutes, outage=outage, rate=rate, spans_rate=spans_rate, small=small
    )
    if failed := [f"{result.row}: {'; '.join(result.problems)}" for result in results if result.problems]:
        raise UserError("\n".join(failed))


@click.command(cls=Command)
def manifests() -> None:
    """Check the manifests of all stacks with kubeconform, kube-score and checkov; each finding needs an answer."""
    from checks.manifests.command import run

    raise Exit(0 if run(console(180)) else 1)


@click.command(cls=Command)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only this rollout; the answer to an unknown name lists them. May be repeated.",
)
@click.option(
    "--times",
    type=COUNT,
    default=None,
    help="Repeat until .local/rollouts.jsonl has this many results of each rollout (1 new one of each).",
)
@click.option("--minutes", type=AMOUNT, help="Start no rollout after this time (no limit).")
def rollouts(only: tuple[str, ...], times: int | None, minutes: float | None) -> None:
    """Roll out good and bad versions on the local stack under load."""
    from checks.rollouts.command import check_rollouts

    raise Exit(0 if check_rollouts(console(140), only, times=times, minutes=minutes) else 1)


@click.command(cls=Command)
def rotations() -> None:
    """Give the secrets of the local stack new values, with data in place and under traffic.

    Four changes, with encryption up to ten, which took 13.5 minutes on two cores.
    """
    from checks.rotation.command import rotate

    raise Exit(0 if rotate(console(140)) else 1)


@click.command("supply-chain", cls=Command)
@click.option("--no-audit", is_flag=True, help="Do not ask for known vulnerabilities, which needs the internet.")
def supply_chain(no_audit: bool) -> None:
    """Search the Git history for secrets, write bills of materials, and look for known vulnerabilities."""
    from checks.supply_chain.command import run

    raise Exit(0 if run(console(140), audit=not no_audit) else 1)


@click.command(cls=Command)
@click.option("--from", "previous", metavar="COMMIT", help="Commit of the earlier release.")
def upgrades(previous: str | None) -> None:
    """Upgrade the local stack from the earlier release and back, with data in place and under traffic."""
    from checks.upgrade.command import upgrade
    from checks.upgrade.release import PREVIOUS

    raise Exit(0 if upgrade(console(140), previous or PREVIOUS) else 1)


@click.command(cls=Command)
@click.option("--rollouts", type=COUNT, default=50, help="Simulated rollouts of each case (50).")
@click.option("--seed", type=int, default=1, help="Seed of the random numbers (1).")
def verdicts(rollouts: int, seed: int) -> None:
    """Simulate rollouts and count the wrong verdicts; write the tables to docs/verdicts.md."""
    from checks.verdicts.command import verdicts

    raise Exit(0 if verdicts(console(140), rollouts=rollouts, seed=seed) else 1)


@click.command(cls=Command)
@file_option("--picture", "Also draw the matrix into this file, as SVG.")
def network(picture: Path | None) -> None:
    """Try each pair of pods of the local stack: what is declared connects, and nothing else."""
    from checks.network.command import run

    raise Exit(0 if run(console(120), picture) else 1)
