"""checkov finds nothing but what infra/checkov.yaml explains."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.aws import emulator, stack

pytestmark = pytest.mark.aws


def test_checkov_finds_only_what_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(stack.data()))
    (tmp_path / "app.json").write_text(json.dumps(stack.translated()))
    program = emulator.tool("checkov") / "checkov"
    command = [program, "--config-file", emulator.ROOT / "infra" / "checkov.yaml", "-d", tmp_path]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Failed checks: 0" in done.stdout
