"""`mien calibrate`: lay the collection's similarities on the strangers that it meets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Json
from mien.domain.errors import InvalidInput

if TYPE_CHECKING:
    from mien.gallery.scoring import Calibration


def calibrate(
    folder: Annotated[
        Path | None, typer.Argument(help="One sub-folder with photos per person; without it, who is enrolled.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the shipped calibration.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the similarity scale to your own cameras and people; it is stored with the collection and used at once."""
    from mien.backends.embedded import maintenance
    from mien.config import Backend, Settings, open_embedded

    settings = Settings.from_environment()
    if settings.backend is Backend.AWS:
        raise InvalidInput("Amazon's recogniser cannot be calibrated; this works with the embedded backend.")
    if reset and folder:
        raise InvalidInput("Give a folder to calibrate on, or --reset, not both.")
    machine = open_embedded(settings)
    with machine.app:
        gallery = machine.open_collection()
        own = None
        if folder:
            own = _on_photos(folder)
        elif not reset:
            own = maintenance.calibrate_on_itself(gallery, settings.collection)
        maintenance.use(gallery, settings.collection, own)
    _report(settings.collection, own, as_json=as_json)


def _on_photos(folder: Path) -> Calibration:
    from mien.cli.evaluate import gather_with_progress
    from mien.gallery.scoring import calibrate as fit
    from mien.gallery.scoring import stranger_cosines

    evidence = gather_with_progress(folder)
    found = evidence.embedded.vectors.any(axis=1)
    return fit(stranger_cosines(evidence.embedded.vectors[found], evidence.folder.labels[found]))


def _report(collection: str, own: Calibration | None, *, as_json: bool) -> None:
    from mien.domain import thresholds
    from mien.gallery.scoring import SHIPPED, cosine_at, smallest_rate

    used = own or SHIPPED
    supported = smallest_rate(own.comparisons) if own else None
    if as_json:
        output.emit({"collection": collection, "calibration": used, "smallest_fmr": supported})
        return
    source = f"{own.comparisons:,} pairs of different people" if own else "the shipped table"
    table = output.table("False match rate", ">Similarity", ">Cosine", title=f"{collection}: {source}")
    for fmr in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        similarity = thresholds.similarity_of_fmr(fmr)
        table.add_row(f"{fmr:.0e}", f"{similarity:.1f}", f"{cosine_at(similarity, used):.3f}")
    output.show(table)
    if supported:
        output.note(
            f"These pairs support rates down to {supported:.1e}; below that, the shipped curve's shape is taken."
        )
