"""Measure how long the functions on AWS take to start: their processor time and memory, under AWS's runtime client.

    python -m benchmarks.cold_start [--rounds N] [--functions NAME …]

The code is packed as for a deployment, but for this machine's Python and architecture; boto3 is this environment's, as
it is the runtime's on Lambda. Around it are moto and Mien's wire API on the tests' fake engine, in the benchmark's own
process, which is not counted. Each function answers one event in a new process: `start` is the processor time until it
asks for the event, `all` until it has answered, user and system; `memory` is the process's peak. The figures are
medians; with `--no-bytecode`, the package is as pip unpacks it, without the compiled modules that a deployment has.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.aws import runtime, stack, world
from tests.support.painter import photo_of

ROOT = Path(__file__).parents[1]
PATH = "uploaded/Ada/1.jpg"
TICKS = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1024


def package(target: Path, *, bytecode: bool) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [sys.executable, ROOT / "infra" / "package.py", "--target", target]
    subprocess.run([*command, "--python", version, "--machine", os.uname().machine], check=True)
    for compiled in () if bytecode else list(target.rglob("__pycache__")):
        shutil.rmtree(compiled)


def events(key: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """By what is measured: the function and the event."""
    photo = {"body": photo_of("Ada", photo=1), "headers": {"Content-Type": "image/jpeg"}}
    arn = f"arn:aws:execute-api:{stack.REGION}:{stack.ACCOUNT}:abcdef123/dev/GET/users"
    question = world.request("GET", "/users", "/users", key) | {"type": "REQUEST", "methodArn": arn}
    return {
        "authorizer": ("authorizer", question),
        "upload, a message": ("upload", {"Records": [world.message(PATH)]}),
        "upload, POST /upload": ("upload", world.request("POST", "/upload", "/upload", key, **photo)),
        "failed": ("failed", {"Records": [world.message("uploaded/Ada/failed.jpg")]}),
        "recognize, POST /recognize": ("recognize", world.request("POST", "/recognize", "/recognize", key, **photo)),
        "recognize, GET /recognize": (
            "recognize",
            world.request("GET", "/recognize", "/recognize", key, query={"image_path": PATH}),
        ),
        "people, GET /users": ("people", world.request("GET", "/users", "/users", key)),
        "people, GET /": ("people", world.request("GET", "/", "/")),
        "reconcile": ("reconcile", {}),
    }


def measure(around: world.World, code: Path, name: str, event: dict[str, Any]) -> tuple[float, float, float]:
    """Return the seconds of processor time until a function asks for an event, and has answered it; and its MB."""
    settings = around.settings(PYTHONDONTWRITEBYTECODE="1")
    with runtime.function(stack.handler(name), code, settings, 900) as function:
        function.started.wait(runtime.PATIENCE)
        start = _processor_seconds(function.pid)
        answer = function.invoke(event)
        assert answer is None or answer.get("statusCode", 200) < 300, answer
        return start, _processor_seconds(function.pid), _peak_megabytes(function.pid)


def _processor_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def _peak_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / MEGABYTE for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--functions", nargs="+", help="only these functions")
    parser.add_argument("--no-bytecode", dest="bytecode", action="store_false")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        package(code := folder / "package", bytecode=options.bytecode)
        around = opened.enter_context(world.opened(folder / "gallery"))
        key = around.keep_keys(folder)
        for path in (PATH, "uploaded/Ada/failed.jpg"):
            around.s3.put_object(Bucket=world.BUCKET, Key=path, Body=photo_of("Ada"))
        print(f"{'':28} start   all  memory")
        for title, (name, event) in events(key).items():
            if not options.functions or name in options.functions:
                taken = [measure(around, code, name, event) for _ in range(options.rounds)]
                start, whole, memory = (median(figures) for figures in zip(*taken, strict=True))
                print(f"{title:28} {start:4.2f} s {whole:4.2f} s {memory:4.0f} MB", flush=True)


if __name__ == "__main__":
    main()
