"""The command line against the deployed stack, which reads its settings from the stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.aws import emulator, stack
from tests.aws.conftest import Deployment
from tests.support.painter import write_people

pytestmark = pytest.mark.aws


def mien(deployment: Deployment, *arguments: str | Path) -> tuple[int, Any]:
    """Exit code and the JSON object of standard output."""
    surroundings = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": deployment.stack.endpoint,
        "AWS_DEFAULT_REGION": stack.REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [sys.executable, "-m", "mien", "--stack", emulator.STACK_NAME, *arguments, "--json"]
    done = subprocess.run(command, env=surroundings, capture_output=True, encoding="utf-8", timeout=300)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_enrol_recognise_and_forget(deployment: Deployment, tmp_path: Path) -> None:
    robert = sorted((write_people(tmp_path, ["Robert"]) / "Robert").iterdir())
    code, enrolled = mien(deployment, "enroll", robert[0], robert[1], "--user", "Robert")
    assert (code, enrolled["enrolled"]) == (0, 2)
    _, found = mien(deployment, "recognize", robert[2])
    assert "Robert" in json.dumps(found)
    _, people = mien(deployment, "people")
    assert "Robert" in json.dumps(people)
    code, _ = mien(deployment, "forget", "Robert", "--yes")
    assert code == 0
    code, left = mien(deployment, "verify-erased", "Robert")
    assert (code, left) == (0, {"erased": True, "traces": []})


def test_the_doctor_is_content(deployment: Deployment) -> None:
    _, answer = mien(deployment, "doctor")
    roles = [check["check"] for check in answer["checks"] if check["check"].startswith("role of ") and check["works"]]
    assert {f"role of mien-dev-{name}" for name in ("upload", "recognize", "people", "reconcile")} <= set(roles)
    rights = [check for check in answer["checks"] if ":" in check["check"]]
    assert len(rights) > 20
    assert [check for check in rights if not check["works"]] == []


def test_the_smoke_test_passes_and_leaves_nothing(deployment: Deployment, tmp_path: Path) -> None:
    people = write_people(tmp_path, ["Ada", "Grace"])
    ada, grace = (sorted((people / name).iterdir()) for name in ("Ada", "Grace"))
    before = set(deployment.rekognition.faces())
    code, protocol = mien(deployment, "smoke", ada[0], ada[1], grace[0])
    assert (code, [step for step in protocol["steps"] if not step["passed"]]) == (0, [])
    assert len(protocol["steps"]) == 11
    assert set(deployment.rekognition.faces()) == before
    _, keys = mien(deployment, "keys", "list")
    assert "smoke-" not in json.dumps(keys)


def test_a_step_that_fails_is_named_and_nothing_stays(deployment: Deployment, tmp_path: Path) -> None:
    people = write_people(tmp_path, ["Ada", "Grace"])
    ada, grace = (sorted((people / name).iterdir()) for name in ("Ada", "Grace"))
    before = set(deployment.rekognition.faces())
    code, protocol = mien(deployment, "smoke", ada[0], grace[0], grace[1])  # the second photo is of somebody else
    failed = protocol["steps"][-1]
    assert (code, failed["passed"], failed["title"]) == (4, False, "GET /recognize names the person")
    assert "nobody" in failed["seen"]
    assert set(deployment.rekognition.faces()) == before


@pytest.mark.parametrize(("arguments", "said"), [((), "Name the stack"), (("one.jpg",), "three photos")])
def test_the_smoke_test_needs_a_stack_and_three_photos(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    photos = arguments or tuple(str(path) for path in sorted((write_people(tmp_path, ["Ada"]) / "Ada").iterdir())[:3])
    (tmp_path / "one.jpg").touch()
    command = [sys.executable, "-m", "mien", "smoke", *photos]
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(command, env=surroundings, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
