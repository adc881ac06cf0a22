"""The command line on a data folder of its own, on the fake engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli.main import app
from tests.support.fake_engine import use_fake_engine
from tests.support.painter import photo_of


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
    use_fake_engine(monkeypatch)
    monkeypatch.setenv("MIEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MIEN_BACKEND", "embedded")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
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
    for name, photos in (("Ada", 2), ("Grace", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(photos):
            (folder / name / f"{number}.jpg").write_bytes(photo_of(name, photo=number))
    return folder


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    """Two photos of Ada, one of Grace, one of both, a landscape, and what is no photo."""
    folder = tmp_path / "pile"
    folder.mkdir()
    shown = {"a.jpg": ("Ada", 0), "b.jpg": ("Ada", 1), "c.jpg": ("Grace", 0)}
    for name, (person, photo) in shown.items():
        (folder / name).write_bytes(photo_of(person, photo=photo))
    (folder / "both.jpg").write_bytes(photo_of("Ada", "Grace", photo=2))
    (folder / "hills.jpg").write_bytes(photo_of())
    for number in range(20):
        (folder / f"{number}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (folder / "a.jpg.json").write_text("{}")
    return folder


@pytest.fixture
def named(mien, pile):
    """The pile is discovered, and Ada's group has her name."""
    largest, *_ = mien("discover", pile, "--json").json["groups"]
    mien("groups", "name", largest["group_id"], "Ada")
    return pile
