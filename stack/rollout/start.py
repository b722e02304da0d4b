"""Finds the start of a run: a new journal, or the journal of an earlier run."""

import time
from collections.abc import Sequence

import kubernetes

from stack.release.journal import Journal, JournalStore, Phase
from stack.release.plan import Step, desired_version, running_version
from stack.rollout.errors import RolloutError
from stack.settings import Settings


def start_or_resume(
    journals: JournalStore, settings: Settings, client: kubernetes.client.ApiClient, steps: Sequence[Step]
) -> Journal | None:
    """Returns the journal to continue from; None if the cluster runs the version of the settings already.

    Raises:
        RolloutError: nothing runs yet, or the rollout of another version is under way.
    """
    if not settings.services.enabled:
        raise RolloutError(
            "the stack has no services of its own (services.enabled is off): deploy your services yourself"
        )
    canary = desired_version(settings)
    journal = journals.read()
    if journal is not None and journal.is_under_way:
        return _resume(journal, canary_image=canary.image, is_same=journal.canary == canary, steps=steps)
    stable = running_version(client, settings.cluster.namespace)
    if stable is None:
        raise RolloutError("nothing runs yet, so there is nothing to compare the new version with: deploy it first")
    if stable == canary:
        return None
    return Journal(
        stable=stable,
        canary=canary,
        stage=1,
        passed=0,
        phase=Phase.PROGRESSING,
        since=time.time(),
    )


def _resume(journal: Journal, *, canary_image: str, is_same: bool, steps: Sequence[Step]) -> Journal:
    if not is_same:
        raise RolloutError(
            f"another version is at stage {journal.stage} of its rollout ({journal.canary.image}), and the settings "
            f"declare {canary_image}: end that rollout first, with `--abort`"
        )
    if journal.stage >= len(steps):
        raise RolloutError("the settings have fewer stages than when the rollout began: end it with `--abort`")
    if journal.phase is Phase.PAUSED:
        return journal.enter(Phase.PROGRESSING, stage=journal.passed + 1)
    return journal
