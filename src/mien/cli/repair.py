"""What `mien doctor --reconcile` does: finishes what a crash left half done, and counts it."""

from __future__ import annotations

from mien.cli.output import plain
from mien.config import Backend, Settings, open_app, open_embedded


def reconcile(settings: Settings) -> dict[str, int]:
    """Counts by what was put right."""
    return _stack(settings) if settings.backend is Backend.AWS else _machine(settings)


def _machine(settings: Settings) -> dict[str, int]:
    machine = open_embedded(settings)
    with machine.app as app:
        erasures = len(app.resume_erasures())
        worker = machine.worker(threads=1)
        found = worker.reconcile()
        while worker.run_once():
            pass
    return {"erasures": erasures, **plain(found)}


def _stack(settings: Settings) -> dict[str, int]:
    from mien.backends.aws.reconcile import open_reconciler

    with open_app(settings) as app:
        erasures = len(app.resume_erasures())
        return {"erasures": erasures, **plain(open_reconciler(settings, app.index_upload).run())}
