"""The files of deploy/ are what their tools take, and as strict as they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_systemd_takes_the_unit_and_finds_little_exposure(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "mien.service"
    unit.write_text(re.sub("^ExecStart=.*$", "ExecStart=/bin/true", (DEPLOY / "mien.service").read_text(), flags=re.M))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", unit], capture_output=True, check=False
    )
    assert judged.returncode == 0, judged.stdout.decode()


def test_the_server_of_compose_cannot_write_but_to_its_volume_and_listens_on_this_machine_only() -> None:
    mien = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["mien"]
    assert mien["read_only"] is True
    assert mien["cap_drop"] == ["ALL"]
    assert mien["security_opt"] == ["no-new-privileges:true"]
    assert mien["volumes"] == ["data:/data"]
    assert all(port.startswith("127.0.0.1:") for port in mien["ports"])


def test_the_image_takes_only_what_it_needs_from_the_checkout() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {f"!{name}" for line in copied for name in line.split()} == {name for name in allowed if name[0] == "!"}
    assert allowed[0] == "*"
