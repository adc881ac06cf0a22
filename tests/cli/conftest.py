"""The command line on a data folder of its own, with an engine that reads who is on a picture from its comment."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien import config
from mien.cli.main import app
from mien.engine import Face
from mien.errors import DamagedImage
from mien.model import Box, Landmarks, Point, Pose, Quality

MIDDLE = Point(0.5, 0.5)


class NameReader:
    """An engine for pictures made by `picture`: everybody who is named in one is on it, side by side."""

    model_version = "names-1"

    def read(self, image: bytes, most: int = 100) -> list[Face]:
        try:
            comment = Image.open(io.BytesIO(image)).info.get("comment", b"").decode()
        except OSError as error:
            raise DamagedImage("The image is damaged.") from error
        names = comment.partition("#")[0].split(",") if comment.partition("#")[0] else []
        return [_face(name, place / len(names), 1 / len(names), image) for place, name in enumerate(names)][:most]

    detect = read


def _face(name: str, left: float, width: float, image: bytes) -> Face:
    person = np.random.default_rng(list(name.encode())).normal(size=128)
    photo = np.random.default_rng(list(hashlib.sha256(image).digest())).normal(size=128)
    vector = (person + 0.3 * photo).astype(np.float32)
    return Face(
        Box(left, 0.2, width * 0.8, 0.5),
        Landmarks(MIDDLE, MIDDLE, MIDDLE, MIDDLE, MIDDLE),
        99.0,
        Pose(0, 0, 0),
        Quality(50, 80, 100),
        0,
        embedding=vector / np.linalg.norm(vector),
    )


def picture(*names: str, take: int = 0) -> bytes:
    """A JPEG that shows these people; another `take` is another photo of them."""
    buffer = io.BytesIO()
    comment = f"{','.join(names)}#{take}".encode()
    Image.new("RGB", (320, 240), "grey").save(buffer, "JPEG", comment=comment)
    return buffer.getvalue()


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which has to be one JSON object and nothing else."""
        return json.loads(self.out)


@pytest.fixture
def mien(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Runs a command on an empty data folder."""
    monkeypatch.setattr(config, "open_engine", lambda settings=None: NameReader())
    monkeypatch.setenv("MIEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MIEN_BACKEND", "embedded")
    monkeypatch.chdir(tmp_path)

    def run(*words: object, answer: str | None = None) -> Answer:
        result = CliRunner().invoke(app, [str(word) for word in words], input=answer)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Ada with two photos, Grace with one."""
    folder = tmp_path / "people"
    for name, takes in (("Ada", 2), ("Grace", 1)):
        (folder / name).mkdir(parents=True)
        for take in range(takes):
            (folder / name / f"{take}.jpg").write_bytes(picture(name, take=take))
    return folder
