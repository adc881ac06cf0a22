"""`mien evaluate`, `calibrate`, `reject` and `inspect` on painted people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli.main import app
from tests.support.fake_engine import use_fake_engine
from tests.support.painter import write_people

Mien = Callable[..., Any]
PEOPLE = 14


@pytest.fixture
def mien(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mien:
    """Runs a command with --json over a data folder and a cache of its own; answers (exit code, object)."""
    use_fake_engine(monkeypatch)
    monkeypatch.setenv("MIEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words: str | Path) -> tuple[int, Any]:
        result = CliRunner().invoke(app, [*map(str, words), "--json"])
        return result.exit_code, json.loads(result.stdout)

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A few people with several photos each."""
    return write_people(tmp_path / "people", range(PEOPLE), photos=4)


def test_evaluate_measures_people_who_are_easily_told_apart(mien: Mien, people: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    code, result = mien("evaluate", people, "--report", tmp_path / "report.html", "--gallery", "8")
    assert code == 0
    assert result["people"] == PEOPLE
    assert result["failures_to_acquire"] == 0
    assert result["accuracy"] > 0.98
    assert result["tmr"]["1e-2"] > 0.98
    assert result["tmr"]["1e-6"] is None
    assert {found["gallery"] for found in result["open_set"]} == {8}
    assert "<svg" in (tmp_path / "report.html").read_text("utf-8")


def test_evaluate_refuses_a_folder_of_one_person(mien: Mien, people: Path) -> None:
    alone = next(people.iterdir())
    code, result = mien("evaluate", alone)
    assert code == 2
    assert "no people" in result["error"]["message"]


def test_evaluate_looks_for_the_reports_place_first(mien: Mien, tmp_path: Path) -> None:
    code, result = mien("evaluate", tmp_path / "nothing", "--report", tmp_path / "no" / "report.html")
    assert code == 2
    assert "for report.html" in result["error"]["message"]


def test_calibrate_on_photos_and_on_who_is_enrolled(mien: Mien, people: Path) -> None:
    code, on_photos = mien("calibrate", people)
    assert code == 0
    assert 0.8 < on_photos["calibration"]["scale"] < 1.2
    assert on_photos["smallest_fmr"] == pytest.approx(10 / on_photos["calibration"]["comparisons"])
    mien("enroll", people)
    _, on_itself = mien("calibrate")
    assert on_itself["calibration"]["comparisons"] == on_photos["calibration"]["comparisons"]
    assert on_itself["calibration"]["offset"] == pytest.approx(on_photos["calibration"]["offset"], abs=0.02)
    assert mien("calibrate", "--reset")[1]["calibration"]["scale"] == 1.0


def test_a_stored_calibration_is_used_at_once(mien: Mien, people: Path) -> None:
    first, second = sorted(min(people.iterdir()).iterdir())[:2]
    mien("enroll", first, "--user", "Ann")

    def likeness() -> float:
        return next(f["similarity"] for f in mien("recognize", second)[1]["photos"][0]["faces"] if f["name"] == "Ann")

    before = likeness()
    mien("calibrate", people)
    assert likeness() != before


def test_calibrating_on_nobody_says_what_is_missing(mien: Mien) -> None:
    code, result = mien("calibrate")
    assert code == 2
    assert "1000 are needed" in result["error"]["message"]


def test_doctor_looks_over_the_gallery(mien: Mien, people: Path) -> None:
    ann, bob = sorted(people.iterdir())[:2]
    for photo in sorted(ann.iterdir())[:2]:
        mien("enroll", photo, "--user", "Ann")
    assert mien("inspect") == (0, {"findings": []})
    mien("enroll", sorted(bob.iterdir())[0], "--user", "Ann")
    mien("enroll", sorted(ann.iterdir())[2], "--user", "Anna")
    code, result = mien("inspect")
    assert code == 1
    assert {finding["trouble"] for finding in result["findings"]} == {"same_face_two_names", "outlier"}


def test_a_rejection_is_listed_and_taken_back(mien: Mien, people: Path) -> None:
    ann, bob = (sorted(folder.iterdir()) for folder in sorted(people.iterdir())[:2])
    mien("enroll", ann[0], "--user", "Ann")
    assert mien("recognize", bob[0], "--threshold", "0")[1]["photos"][0]["faces"][0]["name"] == "Ann"
    _, result = mien("reject", "Ann", bob[0])
    face_id = result["rejections"][0]["face_id"]
    assert mien("recognize", bob[1], "--threshold", "0")[0] == 1
    assert mien("recognize", ann[1], "--threshold", "fmr=1e-4")[0] == 0
    assert [r["face_id"] for r in mien("reject", "Ann")[1]["rejections"]] == [face_id]
    assert mien("reject", "--undo", face_id)[0] == 0
    assert mien("reject", "Ann")[1]["rejections"] == []
