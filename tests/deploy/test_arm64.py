"""What is installed runs on 64-bit ARM: Debian's Python for it, with the locked wheels, in an emulation.

That takes mmdebstrap, qemu-user, an apt mirror and a package registry in reach, and some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
FOR_ARM = [word for platform in PLATFORMS for word in ("--platform", platform)]
FOR_ARM += ["--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:", "--no-deps"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def mien(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command of `mien` on ARM, on a data folder of its own."""
    if missing := [command for command in ("qemu-aarch64", "mmdebstrap") if shutil.which(command) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    pytest.importorskip("hatchling", reason="hatchling is in the group `build`")
    folder = tmp_path_factory.mktemp("arm64")
    system, site, wheels = folder / "system", folder / "site", folder / "wheels"
    packages = ["--variant=extract", "--architectures=arm64", "--include=python3,libgcc-s1,libstdc++6"]
    if subprocess.run(["mmdebstrap", *packages, "bookworm", system], check=False, capture_output=True).returncode != 0:
        pytest.skip("no mirror of Debian's packages is in reach")
    pip = [sys.executable, "-m", "pip"]
    locked = [*FOR_ARM, "--require-hashes", "--dest", wheels, "--requirement", ROOT / "locks" / "run.txt"]
    subprocess.run([*pip, "download", "--quiet", *locked], check=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels], cwd=ROOT, check=True)
    installed = [*FOR_ARM, "--no-index", "--no-compile", "--target", site, *wheels.glob("*.whl")]
    subprocess.run([*pip, "install", "--quiet", *installed], check=True)
    folders = {"PYTHONPATH": site, "PYTHONHOME": system / "usr", "XDG_CACHE_HOME": folder / "cache", "HOME": folder}
    environment = {name: str(path) for name, path in folders.items()} | {"PATH": os.environ["PATH"]}
    python = ["qemu-aarch64", "-L", system, system / "usr/bin/python3.11"]

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [*python, "-m", "mien", *words, "--data-dir", folder / "data"]
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)

    return run


def test_everything_works_and_a_face_is_recognised(mien: Run, hopper: Path) -> None:
    checked = mien("doctor")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    enrolled = mien("enroll", hopper, "--user", "Grace Hopper")
    assert enrolled.returncode == 0, enrolled.stderr
    assert "Grace Hopper" in mien("recognize", hopper).stdout
