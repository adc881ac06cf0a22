"""Find how far the bytes of SFace's activations reach, for CLIP_SIGMAS in src/mien/engine/networks/sface_layers.py.

    python -m benchmarks.sface_ranges FOLDER

FOLDER contains `*/*.jpg`, such as lfw_dev. Coordinate descent: each layer's number of standard deviations is raised and
lowered by steps, and a step is kept if it brings the embeddings of every sixth photo's faces nearer to those that
OpenCV computes in fp32, by the mean cosine. It begins with the numbers in use, and shows what they give.

Those were found with the crops of an earlier build. With today's they give 0.99784 on lfw_dev, and steps in three
layers raise that to 0.99790: not worth other embeddings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mien.engine import FaceEngine, engine, model_files
from mien.engine.context import EngineContext, Floats, Pixels
from mien.engine.networks import sface, sface_layers
from mien.engine.networks.onnx_passes import dequantize_weights

EVERY_NTH_PHOTO = 6
STEPS = (-2, 2, -1, 1)
MIN_SIGMAS = 3


def faces_in(folder: Path) -> Pixels:
    """Align the faces of every sixth photo, as the engine does."""
    crops: list[Pixels] = []
    embed = engine.embed

    def recording(network: sface.SFace, faces: Sequence[Sequence[Pixels]], *, mirrored: bool) -> Floats:
        crops.extend(crop for some in faces for crop in some)
        return embed(network, faces, mirrored=mirrored)

    engine.embed = recording  # type: ignore[assignment]
    reader = FaceEngine()
    for photo in sorted(folder.glob("*/*.jpg"))[::EVERY_NTH_PHOTO]:
        reader.read(photo.read_bytes())
    engine.embed = embed
    return np.stack(crops)


def in_fp32(faces: Pixels) -> Floats:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / model_files.EMBEDDER.name
        path.write_bytes(dequantize_weights(model_files.load(model_files.EMBEDDER).content))
        recognizer = cv2.FaceRecognizerSF.create(str(path), "")
    return normalized(np.concatenate([recognizer.feature(face[:, :, ::-1].copy()) for face in faces]))


def normalized(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--rounds", type=int, default=2, help="how often each layer is tried")
    arguments = options.parse_args()
    faces, context = faces_in(arguments.folder), EngineContext()
    layers = sface_layers.read_layers(model_files.load(model_files.EMBEDDER).transformed(dequantize_weights))
    exact = in_fp32(faces)

    def mean_cosine(sigmas: Sequence[float]) -> float:
        prepared = sface.saved(sface_layers.quantize(layers, sigmas))
        return float((normalized(sface.SFace(lambda: prepared, context)(faces)) * exact).sum(axis=1).mean())

    best = list(sface_layers.CLIP_SIGMAS)
    cosine = mean_cosine(best)
    print(f"{cosine:.5f} {tuple(best)}, in use", flush=True)
    for _ in range(arguments.rounds):
        for layer in range(len(best)):
            for step in STEPS:
                changed = [*best[:layer], max(best[layer] + step, MIN_SIGMAS), *best[layer + 1 :]]
                if (candidate := mean_cosine(changed)) > cosine:
                    best, cosine = changed, candidate
                    print(f"{cosine:.5f} {tuple(best)}", flush=True)
    print(f"CLIP_SIGMAS = {tuple(best)}  # mean cosine to fp32 {cosine:.5f}, {len(faces)} faces")


if __name__ == "__main__":
    main()
