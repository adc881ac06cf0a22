"""The image is built from Debian's packages, and runs without a network, root, or a root file system to write to.

That takes buildah, mmdebstrap, root's rights and an apt mirror in reach. No registry of images is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BASE = "localhost/debian-python"


class Buildah:
    """Runs buildah on a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._words = ["buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self._words += ["--storage-driver", "vfs"]

    def __call__(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._words, *map(str, words)],
            cwd=ROOT,
            text=True,
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0 or not check, done.stdout[-4000:] + done.stderr[-4000:]
        return done


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Buildah, Path]]:
    """Storage with the image `mien`, and a folder for files."""
    if missing := [command for command in ("buildah", "mmdebstrap") if shutil.which(command) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    if os.geteuid() != 0:
        pytest.skip("building an image from Debian's packages needs root")
    if subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False).returncode != 0:
        pytest.skip("this machine, itself a container, gives no namespaces away")
    folder = tmp_path_factory.mktemp("image")
    packages = "--include=python3,python3-venv,ca-certificates"
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", packages, "bookworm", folder / "base.tar"],
        stderr=subprocess.PIPE,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("no mirror of Debian's packages is in reach")
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    target = ["--python-version", "3.11", "--dest", wheels]
    if subprocess.run([*pip, *target, "-r", ROOT / "locks/run.txt"], check=False).returncode != 0:
        pytest.skip("no package registry is in reach")
    (folder / "Base").write_text("FROM scratch\nADD base.tar /\n")
    buildah = Buildah(folder)
    buildah("bud", "--isolation", "chroot", "-f", folder / "Base", "-t", BASE, folder)
    arguments = [f"BASE={BASE}", "PIP_FIND_LINKS=/wheels", "PIP_NO_INDEX=1", "VERSION=1.2.3"]
    buildah(
        *("bud", "--isolation", "chroot", "--format", "docker", "--volume", f"{wheels}:/wheels:ro"),
        *(word for argument in arguments for word in ("--build-arg", argument)),
        *("--ignorefile", "deploy/Dockerfile.dockerignore", "-f", "deploy/Dockerfile", "-t", "mien", "."),
    )
    yield buildah, folder
    buildah("rm", "--all", check=False)
    shutil.rmtree(folder)


def test_the_image_says_what_it_is_who_it_runs_as_and_how_to_tell_that_it_is_well(image: tuple[Buildah, Path]) -> None:
    buildah, _ = image
    found = json.loads(buildah("inspect", "--type", "image", "mien").stdout)["Docker"]["config"]
    assert found["User"] == "10001:10001"
    assert found["Labels"]["org.opencontainers.image.title"] == "Mien"
    assert found["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert "/health" in found["Healthcheck"]["Test"][-1]
    assert found["Volumes"] == {"/data": {}}
    assert found["Entrypoint"] == ["mien"]


SERVE = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen(["mien", "serve"])
for _ in range(600):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=4).read().decode())
        break
    except OSError:
        time.sleep(0.1)
server.terminate()
sys.exit(server.wait(30))
"""


def test_it_starts_and_recognises_without_a_network_or_a_writable_root(
    image: tuple[Buildah, Path], hopper: Path
) -> None:
    buildah, folder = image
    container = buildah("from", "mien").stdout.strip()
    root = Path(buildah("mount", container).stdout.strip())
    data = folder / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    shutil.copy(hopper, folder / "hopper.jpg")
    script = (
        f"mount --bind {root} {root} && mount --bind {data} {root}/data && mount -t proc proc {root}/proc && "
        f"mount --bind /dev {root}/dev && mount -t tmpfs tmpfs {root}/tmp && cp {folder}/hopper.jpg {root}/tmp/ && "
        f"chmod 644 {root}/tmp/hopper.jpg && mount -o remount,bind,ro {root} && ip link set lo up; "
        f"exec chroot --userspec=10001:10001 {root} env -i PATH=/opt/mien/bin:/usr/bin:/bin MIEN_DATA_DIR=/data "
        'XDG_CACHE_HOME=/opt/mien/cache PYTHONDONTWRITEBYTECODE=1 "$@"'
    )
    inside = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script, "sh"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*inside, *words], capture_output=True, text=True, check=False, timeout=300)

    assert "Read-only file system" in run("touch", "/opt/mien/planted").stderr
    enrolled = run("mien", "enroll", "/tmp/hopper.jpg", "--user", "Grace Hopper")
    assert enrolled.returncode == 0, enrolled.stderr
    assert "Grace Hopper" in run("mien", "recognize", "/tmp/hopper.jpg").stdout
    served = run("/opt/mien/bin/python3", "-c", SERVE)
    assert '"status":"ok"' in served.stdout, served.stderr
    assert served.returncode == 0
