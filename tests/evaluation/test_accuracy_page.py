"""`make accuracy` in small: the page is generated whole, from a few people."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks import accuracy
from benchmarks.accuracy_engine import SETTINGS
from mien.engine import FaceEngine


@pytest.mark.photos
def test_the_page_is_written_from_photos(lfw_dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    several = [folder for folder in sorted(lfw_dev.iterdir()) if folder.is_dir() and len(list(folder.iterdir())) > 3]
    for folder in several[:24]:
        shutil.copytree(folder, tmp_path / "few" / folder.name)
    monkeypatch.setattr(accuracy, "SERIES", accuracy.SERIES[:1])
    monkeypatch.setattr(accuracy, "variants", lambda data, pairs: "not measured here")
    accuracy.write(tmp_path / "few", tmp_path / "docs", per_person=1)
    page = (tmp_path / "docs" / "accuracy.md").read_text("utf-8")
    assert "$" not in page
    assert re.search(r"\| Accuracy, [\d,]+ pairs, folds \| (9[89]|100)\.\d\d%", page)
    drawn = set(re.findall(r"\]\(accuracy/(\w+)\.svg\)", page))
    assert drawn == {path.stem for path in (tmp_path / "docs" / "accuracy").iterdir()} == {"roc", "det", "resolution"}


@pytest.mark.parametrize(("changes", "options"), [setting[1:] for setting in SETTINGS])
def test_every_setting_that_the_page_compares_can_be_made(
    hopper: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], options: dict[str, bool]
) -> None:
    photo = hopper.read_bytes()
    (usual, *_) = FaceEngine().read(photo)
    for target, value in changes.items():
        monkeypatch.setattr(target, value)
    (found, *_) = FaceEngine(**options).read(photo)
    assert usual.embedding @ found.embedding > 0.8
