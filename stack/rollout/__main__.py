"""`python -m stack.rollout`: judges one stage of one service from inside the cluster.

Argo Rollouts runs it as the Job of an analysis (see `stack.deploy.argo_rollouts`). It reads the variable `ANALYSIS`, a
`StageAnalysis` as JSON, and where telemetry is encrypted, what it needs for Prometheus. It ends with exit code 0 if the
stage is successful, with 1 if it failed.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import httpx

from stack.clients.access import Access
from stack.clients.prometheus import PrometheusClient, Query
from stack.components.services.rollout import AUTHORIZATION_VARIABLE, CA_VARIABLE, StageAnalysis
from stack.rollout import gate
from stack.rollout.gate import Verdict
from stack.rollout.judge import Judge

_PAUSE_SECONDS: Final = 5.0
_REPORT_SECONDS: Final = 60.0


def judge_stage(
    analysis: StageAnalysis,
    query: Query,
    *,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
    report: Callable[[str], None] = print,
) -> Verdict:
    """Looks at both versions until the stage is decided.

    Args:
        analysis: the stage.
        query: of Prometheus.
        clock: the time in s since the epoch.
        pause: waits for some s.
        report: prints a line.

    Returns:
        Successful or Failed. A stage that is undecided after the soak and the patience is what `gate.undecided` says:
        if the settings hold it, this function waits on, and so does the rollout.
    """
    judge = Judge(analysis.gate, services=(analysis.service,))
    judge.begin()
    start = reported = clock()
    patience = analysis.soak_seconds + analysis.gate.patience_seconds
    while True:
        pause(_PAUSE_SECONDS)
        seconds = clock() - start
        findings = judge.measure(query, (start, start + seconds), "stable", is_traced=analysis.is_traced)
        verdict = gate.overall(findings)
        is_over = seconds >= patience and analysis.gate.undecided != "hold"
        if verdict is Verdict.FAILED or (verdict is Verdict.SUCCESSFUL and seconds >= analysis.soak_seconds) or is_over:
            report(f"after {seconds:.0f} s: {verdict.value}. {gate.reason(findings)}")
            if verdict is Verdict.INCONCLUSIVE:
                return Verdict.SUCCESSFUL if analysis.gate.undecided == "continue" else Verdict.FAILED
            return verdict
        if clock() - reported >= _REPORT_SECONDS:
            reported = clock()
            report(f"{seconds:.0f} s: {verdict.value}. {gate.reason(findings)}")


def main() -> int:
    """Judges the stage of the environment; returns the exit code."""
    analysis = StageAnalysis.model_validate_json(os.environ["ANALYSIS"])
    with _client(os.environ) as client:
        verdict = judge_stage(analysis, PrometheusClient(analysis.prometheus, client.get).query)
    return 0 if verdict is Verdict.SUCCESSFUL else 1


def _client(environ: Mapping[str, str]) -> httpx.Client:
    """Returns a client of Prometheus, with its access if the telemetry of the stack is encrypted."""
    if ca := environ.get(CA_VARIABLE):
        return Access(ca=ca, headers={"Authorization": environ[AUTHORIZATION_VARIABLE]}).client()
    return httpx.Client(trust_env=False)  # in the cluster, without a proxy


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # standard output is a text file
    sys.exit(main())
