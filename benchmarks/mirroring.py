"""Measure what averaging with the mirrored face gains and costs: never, at enrolment, always, or for doubtful probes.

    python -m benchmarks.mirroring FOLDER

FOLDER contains `*/*.jpg`, a folder for each person, such as lfw_dev. Of several faces in a photo the one nearest the
middle counts. "At enrolment" compares each photo, averaged, with every other photo, not averaged; where only doubtful
probes are averaged, their share is shown. The hard probes are the same photos, small, blurred, compressed and squeezed
in turns.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy_studies import table
from mien.domain.thresholds import cosine_of_fmr
from mien.engine import FaceEngine
from mien.engine.context import Floats
from mien.engine.engine import Face
from mien.evaluation.degradation import blurred, compressed, downscaled, squeezed
from mien.evaluation.embeddings import central_face

RATES = (1e-2, 1e-3, 1e-4)
THRESHOLD = cosine_of_fmr(1e-4)
NEAR = 0.08
"""Distance of a cosine to the threshold within which a decision is in doubt."""

CHANGES = ((downscaled, 28), (blurred, 2.5), (compressed, 12), (squeezed, 0.5))
"""Degradations of the hard probes and their strengths, so that about a tenth of the comparisons fail."""


@dataclass(frozen=True)
class Embedded:
    """The central faces of all photos, None where there is none; embeddings (n, 128); processor ms of a photo."""

    faces: list[Face | None]
    vectors: Floats
    milliseconds: float


def embed_all(engine: FaceEngine, photos: Sequence[bytes], *, mirrored: bool) -> Embedded:
    start = time.process_time()
    faces = [central_face(engine.read(photo, mirrored=mirrored)) for photo in photos]
    milliseconds = (time.process_time() - start) / len(photos) * 1000
    vectors = np.stack([face.embedding if face else np.zeros(128, np.float32) for face in faces])
    return Embedded(faces, vectors, milliseconds)


def hardened(photos: Sequence[bytes], faces: Sequence[Face | None]) -> Iterator[bytes]:
    for number, (photo, face) in enumerate(zip(photos, faces, strict=True)):
        change, strength = CHANGES[number % len(CHANGES)]
        pixels = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
        nose = (face.landmarks.nose.x, face.landmarks.nose.y) if face else (0.5, 0.5)
        points = np.tile(np.array(nose, np.float32) * pixels.shape[1::-1], (5, 1))
        stream = io.BytesIO()
        Image.fromarray(change(pixels, points, strength)).save(stream, "PNG", compress_level=1)
        yield stream.getvalue()


def is_doubtful(face: Face | None) -> bool:
    """Return whether a face is small, blurred, turned away, or uncertain."""
    if face is None:
        return False
    is_poor = face.quality.size < 60 or face.quality.sharpness < 30 or face.confidence < 88
    return is_poor or abs(face.pose.yaw) > 35


def figures(cosines: Floats, people: NDArray[np.intp]) -> list[str]:
    """Return d', and TMR at each rate, over all ordered pairs of photos."""
    same, other = people[:, None] == people, ~np.eye(len(people), dtype=bool)
    genuine, impostors = cosines[same & other], np.sort(cosines[~same])
    spread = np.sqrt((genuine.var() + impostors.var()) / 2)
    thresholds = [impostors[-int(np.ceil(rate * len(impostors))) - 1] for rate in RATES]
    tmrs = [f"{np.mean(genuine > threshold):.2%}" for threshold in thresholds]
    return [f"{(genuine.mean() - impostors.mean()) / spread:.3f}", *tmrs]


def measured(plain: Embedded, enrolled: Embedded, people: NDArray[np.intp], probes: tuple[Embedded, Embedded]) -> str:
    """Compare all ways; `plain` and `enrolled` are of the clean photos, `probes` without and with averaging."""
    share = probes[1].milliseconds / probes[0].milliseconds
    usual, averaged = (enrolled.vectors @ one.vectors.T for one in probes)
    doubtful = np.array([is_doubtful(face) for face in probes[0].faces])
    strangers = np.where(people[:, None] != people, usual, -1)
    best = np.where(np.eye(len(people), dtype=bool), -1, usual).max(axis=0)
    near = (np.abs(best - THRESHOLD) < NEAR) | (np.abs(strangers.max(axis=0) - THRESHOLD) < NEAR)
    rows = [
        ["never", *figures(plain.vectors @ probes[0].vectors.T, people), "0 %", "1.00"],
        ["at enrolment only", *figures(usual, people), "0 %", "1.00"],
    ]
    for name, chosen in (("poor faces", doubtful), ("where the best cosine is near the threshold", near)):
        cosines = np.where(chosen, averaged, usual)
        rows.append(
            [f"also {name}", *figures(cosines, people), f"{chosen.mean():.0%}", cost(chosen.mean() * (share - 1))]
        )
    rows.append(["always, and in 1:1", *figures(averaged, people), "100 %", cost(share - 1)])
    head = ["mirrored", "d'", *(f"TMR at FMR {rate:.0e}" for rate in RATES), "of the probes", "time of a recognition"]
    return table(head, rows)


def cost(more: float) -> str:
    return f"{1 + more:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.glob("*/*.jpg"))
    photos = [path.read_bytes() for path in paths]
    people = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    engine = FaceEngine(threads=1)
    engine.read(photos[0])
    plain, averaged = (embed_all(engine, photos, mirrored=on) for on in (False, True))
    print(f"\nthe photos\n\n{measured(plain, averaged, people, (plain, averaged))}", flush=True)
    hard = list(hardened(photos, plain.faces))
    probes = (embed_all(engine, hard, mirrored=False), embed_all(engine, hard, mirrored=True))
    print(f"\nhard probes\n\n{measured(plain, averaged, people, probes)}")


if __name__ == "__main__":
    main()
