"""Erase what is over, and find and repair inconsistencies: once a day, or by hand.

What has to be indexed again, or to lose its faces, is told to the upload queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from mien.domain.object_keys import UPLOADED
from mien.lambdas import deadline, worker
from mien.lambdas.queue_messages import message_body, send
from mien.lambdas.telemetry import count, logger, metrics
from mien.security.audit import Action
from mien.settings import Settings

if TYPE_CHECKING:
    from mien.app.reconciliation import Reconciliation

RECONCILE_MILLISECONDS = 600_000  # which erasing what is over leaves to the reconciliation, of 900 s
STEP_MILLISECONDS = 240_000  # more than one step of the reconciliation takes


@logger.inject_lambda_context
@metrics.log_metrics
def reconcile(event: dict[str, Any], context: Any) -> None:
    """Handle an event of the function `reconcile`, daily or by hand: erase what is over, and find inconsistencies.

    Args:
        event: `mode` is `repair` to repair inconsistencies, too, and anything else to count them; with `force`, they
            are repaired even if they are suspiciously many; with `retry_failed`, photos that could not be indexed are
            tried again. `progress` is what the function passes to itself when one call's time does not suffice.
        context: Lambda's context object.
    """
    from mien.app.reconciliation import Reconciliation
    from mien.backends.aws import clients, stack

    settings = Settings.from_environment()

    def announce(image_path: str, *, removed: bool) -> None:
        send(message_body(image_path, removed=removed))

    begun = Reconciliation.from_json(event["progress"]) if "progress" in event else None
    if begun is None:
        _erase_what_is_over(lambda: context.get_remaining_time_in_millis() < RECONCILE_MILLISECONDS)
    force = event.get("force") is True
    bucket, *_ = stack.ports(settings)
    index, remove = partial(announce, removed=False), partial(announce, removed=True)
    reconciler = stack.open_app(settings).reconciler(
        index, remove, lambda after: bucket.keys(UPLOADED, after), retry_failed=event.get("retry_failed") is True
    )
    reached = reconciler.run(
        repair=force or event.get("mode") == "repair",
        force=force,
        progress=begun,
        is_out_of_time=lambda: context.get_remaining_time_in_millis() < STEP_MILLISECONDS,
    )
    if reached.is_done:
        _report(reached)
    else:
        following = event | {"progress": reached.to_json()}
        with clients.domain_errors():
            clients.functions().invoke(
                FunctionName=context.function_name, InvocationType="Event", Payload=json.dumps(following)
            )


def _erase_what_is_over(stop: Callable[[], bool]) -> None:
    worker.audit_log()
    app = worker.application()
    erasures = app.resume_erasures()
    count("ErasuresResumed", len(erasures))
    expired = app.expire(stop)
    for report in (*erasures, *expired.receipts):
        worker.record(Action.ERASE, report)
    count("RecognitionsExpired", expired.recognitions)
    count("PhotosExpired", expired.photos)
    count("ConsentsExpired", len(expired.receipts))
    count("ExpiriesFailed", expired.failed)


def _report(reconciliation: Reconciliation) -> None:
    found = asdict(reconciliation.found)
    for name, number in found.items():
        count(metric(name), number)
    count("VectorsLeft", 0 if reconciliation.is_repairing else reconciliation.found.faces_without_metadata)
    count("RepairsStopped", reconciliation.is_stopped)
    logger.info("reconciled", repaired=reconciliation.is_repairing, stopped=reconciliation.is_stopped, **found)
    if reconciliation.found.overdue:
        logger.warning("what an erasure or the retention had missed is done", items=reconciliation.found.overdue)
    if reconciliation.found.foreign_faces:
        logger.warning("the collection has faces that are not this stack's", faces=reconciliation.found.foreign_faces)


def metric(name: str) -> str:
    """Return the metric of one of the reconciliation's counts."""
    return "".join(map(str.capitalize, name.split("_")))


deadline.prepare(__name__, lambda _: worker.application())
