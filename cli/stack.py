"""Commands that work on one stack. Each imports what it needs when it runs."""

import gc
from pathlib import Path

import click
from click.exceptions import Exit

from cli.group import Command, exit_on_termination
from cli.options import AMOUNT, LOCAL, StackName, as_json, console, file_option, stack_argument
from contracts import secret_keys

NO_ANSWER = 2
"""Exit code of a command whose answer is 0 or 1, where it has no answer."""


@click.command(cls=Command)
@stack_argument
@click.option(
    "--forget",
    multiple=True,
    type=click.Choice(secret_keys.OPTIONAL),
    metavar="SECRET",
    help="Remove this optional secret; the answer to an unknown name lists them. May be repeated.",
)
@click.option(
    "--leave-queues", is_flag=True, help="Remove Collectors although their queues are not empty; the volumes stay."
)
@click.option("--smoke/--no-smoke", "with_smoke", default=True, help="Run the smoke check afterwards (default: yes).")
def deploy(stack: str, forget: tuple[str, ...], leave_queues: bool, with_smoke: bool) -> None:
    """Deploy STACK, wait until it is ready, and check that traces arrive.

    A secret takes the value of its environment variable, for example SECRET_POSTGRES_PASSWORD, if that is set.
    """
    # A deployment leaves little garbage, and looking for it takes a tenth of the CPU time.
    gc.disable()
    from stack.deploy import deployment

    deployment.run(stack, forget=forget, leave_queues=leave_queues)
    if with_smoke:
        from stack.smoke import command

        command.smoke(stack)


@click.command(cls=Command)
@stack_argument
@as_json
def smoke(stack: str, as_json: bool) -> None:
    """Send one request through STACK and check its trace hop by hop."""
    from stack.smoke import command

    command.smoke(stack, as_json=as_json)


@click.command(cls=Command, failure_code=NO_ANSWER)
@stack_argument
@click.option("--since", default="1h", metavar="TIME", help="Length of the window, for example 30m, 6h or 2d (1h).")
@as_json
def spans(stack: str, since: str, as_json: bool) -> None:
    """Count the spans of STACK at each stage from the services to the trace store.

    Exit code 0: no loss is seen, or it is unknown, as the last lines say; 1: spans are lost; 2: they could not be
    counted, or the window cannot be judged.
    """
    from stack.accounting.command import parse_duration, spans

    try:
        seconds = parse_duration(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    accounting = spans(stack, console(120), seconds=seconds, as_json=as_json)
    if accounting.route_changed_at is not None:
        raise Exit(NO_ANSWER)
    raise Exit(1 if accounting.is_lost else 0)


@click.command(cls=Command, failure_code=NO_ANSWER)
@stack_argument
@click.option("--plan", is_flag=True, help="Print the steps and do nothing.")
@click.option("--abort", is_flag=True, help="Go back to the stable version and end the rollout.")
@file_option("--report", "File to write (default: .local/rollout-STACK.md).")
def rollout(stack: str, plan: bool, abort: bool, report: Path | None) -> None:
    """Bring a changed image or changed tracing to STACK in steps, each gated by what the running system shows.

    An interrupted rollout continues when the command is run again.
    Exit code 0: all traffic has the new version; 1: it was rolled back; 2: it could not start or continue; 3: it is
    held at an undecided step.
    """
    from stack.rollout import command

    if plan and abort:
        raise click.UsageError("--plan and --abort exclude each other")
    exit_on_termination()
    terminal = console(160)
    if plan:
        command.plan(stack, terminal)
    elif abort:
        command.abort(stack, terminal)
    else:
        codes = {command.Ending.PROMOTED: 0, command.Ending.ROLLED_BACK: 1, command.Ending.HELD: 3}
        raise Exit(codes[command.run(stack, terminal, report)])


@click.command(cls=Command)
@stack_argument
@as_json
def config(stack: str, as_json: bool) -> None:
    """Print every setting of STACK with the file and line that it comes from."""
    from stack.settings.origins import run

    run(stack, as_json=as_json)


@click.command(cls=Command, failure_code=NO_ANSWER)
@stack_argument
def drift(stack: str) -> None:
    """Show how the objects in the cluster differ from what STACK declares.

    Exit code 0: no drift; 1: drift; 2: the cluster could not be compared.
    """
    from stack.deploy.drift import run

    raise Exit(1 if run(stack, console()) else 0)


@click.command(cls=Command)
@stack_argument
@file_option("--output", "File to write (default: standard output).")
@file_option("--certificates", "Also write the Secrets with certificates, derived from $SECRET_AUTHORITY_SEED.")
@click.option("--argo-rollouts", is_flag=True, help="Write the services as Rollouts of Argo Rollouts.")
def render(stack: str, output: Path | None, certificates: Path | None, argo_rollouts: bool) -> None:
    """Write the Kubernetes manifests of STACK, with references in the place of secrets."""
    from stack.deploy.manifest_files import run

    run(stack, output, certificates=certificates, argo_rollouts=argo_rollouts)


@click.command(cls=Command)
@stack_argument
def admission(stack: str) -> None:
    """Write ValidatingAdmissionPolicies with the rules of STACK, for an administrator of its cluster."""
    from stack.deploy.admission import print_policies

    print_policies(stack)


@click.command(cls=Command)
@click.argument("stack", type=StackName())
@click.option("--yes", is_flag=True, help="Do not ask for the stack's name.")
@click.option("--delete-data", is_flag=True, help="Delete data that the settings protect.")
@click.option("--limit", type=AMOUNT, default=None, metavar="SECONDS", help="Time within which all must be gone.")
def destroy(stack: str, yes: bool, delete_data: bool, limit: float | None) -> None:
    """Remove everything that STACK has created, after you have typed its name."""
    from stack.deploy.destroy import LIMIT_SECONDS, run

    run(stack, yes=yes, delete_data=delete_data, limit=LIMIT_SECONDS if limit is None else limit)


@click.command(cls=Command, failure_code=NO_ANSWER)
@stack_argument
@click.option("--minutes", type=AMOUNT, default=15, help="Length of the window (15).")
@file_option("--report", "File to write (default: .local/dashboards-STACK.html).")
def dashboards_check(stack: str, minutes: float, report: Path | None) -> None:
    """Run every query of the dashboards of STACK, follow their links, and draw a report."""
    from checks.dashboards.command import check_dashboards

    raise Exit(0 if check_dashboards(stack, console(160), minutes=minutes, file=report) else 1)


@click.command(cls=Command)
@click.argument("alert", required=False)
@click.option("--stack", type=StackName(), default=LOCAL, help="The stack (default: local).")
def explain(alert: str | None, stack: str) -> None:
    """Print what is known about ALERT: operation, error, trace, last changes, the runbook's first answer.

    Without ALERT, print what is wrong now, also if no alert fires yet: the alert that began now, what is down, the
    failing and slow operations with a failed trace, and the last changes.

    All stores are asked at the same time, and each answer is printed as soon as it is there. What does not answer
    within 15 s, or the search for a trace within 5 s, is left out. Texts are redacted.
    """
    from stack.explain.command import explain

    explain(stack, alert, console(160))


@click.command(cls=Command, failure_code=NO_ANSWER)
@stack_argument
@click.option("--document", is_flag=True, help="Write docs/connections.md, and try nothing.")
def connections(stack: str, document: bool) -> None:
    """Try the connections from the pods of STACK to their dependencies: OK, refused, timed out, in ms.

    A small program runs in each pod, connects, and sends nothing. If a Service has no ready pod, the result says so: a
    connection to it times out or is refused, as with a firewall. The exit code is 1 if a connection fails.
    """
    from stack.connections import document as pages
    from stack.connections.command import show_connections

    if document:
        print(pages.write())
        raise Exit(0)
    raise Exit(0 if show_connections(stack, console(140)) else 1)


@click.command(cls=Command)
@stack_argument
def mcp(stack: str) -> None:
    """Let an assistant read STACK over MCP: alerts, runbooks, traces, logs, metrics and the rollout.

    An assistant starts this command and talks to it on standard input and output. It reads with your access to the
    cluster, changes nothing, and its answers are redacted.
    """
    from stack.assistant.server import serve

    serve(stack)
