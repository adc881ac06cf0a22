"""Measure the ranges of YuNet's activations on photos, for src/mien/engine/networks/yunet_ranges.json.

    python -m benchmarks.yunet_ranges FOLDER > ranges.json

FOLDER contains `lfw_dev/*/*.jpg` and `photos/groups/*.jpg`. The ranges cover every canvas on which the engine runs
YuNet for every third of the photos, computed in fp32 by OpenCV, plus a margin.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mien.engine import FaceEngine, model_files
from mien.engine.context import Floats, Network, Pixels
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads
from mien.engine.networks.yunet_layers import Head, Pool, read_layers

EVERY_NTH_PHOTO = 3
MARGIN = 1.05


class Recorder:
    """A network that records its inputs."""

    def __init__(self, network: Network, seen: list[Pixels]) -> None:
        self._network, self._seen = network, seen

    def __call__(self, canvases: Pixels) -> Floats:
        self._seen.extend(canvases)
        return self._network(canvases)


def canvases(folder: Path) -> Iterator[Pixels]:
    seen: list[Pixels] = []
    engine = FaceEngine(threads=1)
    for name in ("_detector", "_large_face_refiner"):
        setattr(engine, name, Recorder(getattr(engine, name), seen))
    photos = [*sorted((folder / "lfw_dev").glob("*/*.jpg")), *sorted((folder / "photos/groups").glob("*.jpg"))]
    for photo in photos[::EVERY_NTH_PHOTO]:
        engine.detect(photo.read_bytes())
        yield from seen
        seen.clear()


def network_with_outputs(content: bytes, names: list[str]) -> cv2.dnn.Net:
    """Load the model so that the maps of these names are outputs."""
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    shape = ["images", "channels", "height", "width"]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names)
    return cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    folder = options.parse_args().folder
    content = model_files.load(model_files.DETECTOR).transformed(
        dequantize_weights, partial(fuse_heads, strides=STRIDES)
    )
    names = [layer.target for layer in read_layers(content) if not isinstance(layer, Pool | Head)]
    network = network_with_outputs(content, names)
    ends: dict[str, NDArray[np.float32]] = {name: np.zeros((2, 1), np.float32) for name in names}
    for canvas in canvases(folder):
        network.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        for name, values in zip(names, network.forward(names), strict=True):
            low, high = ends[name]
            ends[name] = np.stack([np.minimum(low, values.min((0, 2, 3))), np.maximum(high, values.max((0, 2, 3)))])
    rounded = {name: np.round(MARGIN * both.astype(np.float64), 2).tolist() for name, both in ends.items()}
    rows = (f'"{name}": {json.dumps(both, separators=(",", ":"))}' for name, both in rounded.items())
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main()
