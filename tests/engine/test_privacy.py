"""What the inference library must not do behind our back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_loading_the_engine_leaves_no_tracking_id_in_the_home_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "CI": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import mien.engine.openvino_backend"], env=environment, check=True)
    assert not (tmp_path / "intel").exists()
