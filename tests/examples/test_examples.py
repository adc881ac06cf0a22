"""The programs in examples/ do what they say; the people are painted."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.fake_engine import use_fake_engine
from tests.support.painter import photo_of
from tests.support.process import free_port, serve, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def main_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns the function `main` of an example, which works on an empty data folder."""
    use_fake_engine(monkeypatch)
    monkeypatch.setenv("MIEN_DATA_DIR", str(tmp_path / "data"))
    return lambda name: runpy.run_path(str(EXAMPLES / name))["main"]


def test_a_table_of_names_and_photos_is_enrolled_and_bad_lines_are_named(main_of, tmp_path, capsys):
    (tmp_path / "ada.jpg").write_bytes(photo_of("Ada"))
    (tmp_path / "nobody.jpg").write_bytes(photo_of())
    lines = "Ada,ada.jpg\n\nGrace,nobody.jpg\nHedy,missing.jpg\n\n"
    (tmp_path / "people.csv").write_text(lines, encoding="utf-8-sig")  # as spreadsheets write it
    assert main_of("enrol_folder.py")(tmp_path / "people.csv") == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Ada, ada.jpg: enrolled"
    assert printed[1].startswith("Grace, nobody.jpg: not enrolled. The photo shows no face")
    assert printed[2].startswith("Hedy, missing.jpg: not enrolled.")


def test_the_door_camera_names_who_was_seen_on_several_frames_once(main_of, tmp_path, capsys):
    (tmp_path / "ada.jpg").write_bytes(photo_of("Ada"))
    (tmp_path / "people.csv").write_text("Ada,ada.jpg\n")
    main_of("enrol_folder.py")(tmp_path / "people.csv")
    frame = cv2.imdecode(np.frombuffer(photo_of("Ada", photo=1), np.uint8), cv2.IMREAD_COLOR)
    video = cv2.VideoWriter(
        str(tmp_path / "door.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 2, (frame.shape[1], frame.shape[0])
    )
    for _ in range(8):
        video.write(frame)
    video.release()
    capsys.readouterr()
    assert main_of("door_camera.py")(str(tmp_path / "door.avi")) == 0
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == ["Ada"]
    assert main_of("door_camera.py")(str(tmp_path / "missing.avi")) == 1


def test_the_program_for_rekognition_runs_twice_against_mien(tmp_path):
    for folder, name, person, number in (("people/Ada", "0.jpg", "Ada", 0), ("new", "a.jpg", "Ada", 1)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_bytes(photo_of(person, photo=number))
    (tmp_path / "new" / "b.jpg").write_bytes(photo_of("Grace"))
    port = free_port()
    server = serve(tmp_path / "data", port)
    try:
        address = f"http://127.0.0.1:{port}"
        keys = {"AWS_ENDPOINT_URL_REKOGNITION": address, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
        keys |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        words = [sys.executable, EXAMPLES / "boto3_migration.py", tmp_path / "people", tmp_path / "new"]
        for _ in range(2):
            done = subprocess.run(words, env=os.environ | keys, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            first, second = done.stdout.splitlines()
            assert first.startswith("a.jpg: Ada ")
            assert second == "b.jpg: unknown"
    finally:
        server.terminate()
        wait_for(lambda: server.poll() is not None)
