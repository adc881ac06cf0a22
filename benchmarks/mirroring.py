"""Measure what averaging with the mirrored face gains and costs: never, at enrolment only, or always.

    python -m benchmarks.mirroring FOLDER

FOLDER contains `*/*.jpg`, a folder for each person, such as lfw_dev. Of several faces in a photo the one nearest the
middle counts. "At enrolment" compares each photo, averaged, with every other photo, not averaged.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_studies import table
from mien.engine import FaceEngine
from mien.engine.context import Floats
from mien.evaluation.embeddings import central_face

RATES = (1e-2, 1e-3, 1e-4)


def embed_all(engine: FaceEngine, photos: list[bytes], *, mirrored: bool) -> tuple[Floats, float]:
    """Embed the central face of each photo (n, 128); returns the processor milliseconds of a photo, too."""
    start = time.process_time()
    faces = [central_face(engine.read(photo, mirrored=mirrored)) for photo in photos]
    milliseconds = (time.process_time() - start) / len(photos) * 1000
    return np.stack([face.embedding if face else np.zeros(128, np.float32) for face in faces]), milliseconds


def figures(enrolled: Floats, probes: Floats, people: NDArray[np.intp]) -> list[str]:
    """Return d', and TMR at each rate, over all ordered pairs of photos."""
    cosines = enrolled @ probes.T
    same, other = people[:, None] == people, ~np.eye(len(people), dtype=bool)
    genuine, impostors = cosines[same & other], np.sort(cosines[~same])
    spread = np.sqrt((genuine.var() + impostors.var()) / 2)
    thresholds = [impostors[-int(np.ceil(rate * len(impostors))) - 1] for rate in RATES]
    tmrs = [f"{np.mean(genuine > threshold):.2%}" for threshold in thresholds]
    return [f"{(genuine.mean() - impostors.mean()) / spread:.3f}", *tmrs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.glob("*/*.jpg"))
    photos, people = (
        [path.read_bytes() for path in paths],
        np.unique([path.parent.name for path in paths], return_inverse=True)[1],
    )
    engine = FaceEngine(threads=1)
    engine.read(photos[0])
    (plain, plain_time), (mirrored, mirrored_time) = (embed_all(engine, photos, mirrored=on) for on in (False, True))
    share = f"{mirrored_time / plain_time:.2f}"
    rows = [
        ["never", *figures(plain, plain, people), "1.00", "1.00"],
        ["at enrolment only", *figures(mirrored, plain, people), share, "1.00"],
        ["always, and in 1:1", *figures(mirrored, mirrored, people), share, share],
    ]
    head = ["mirrored", "d'", *(f"TMR at FMR {rate:.0e}" for rate in RATES), "time of an enrolment", "of a recognition"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
