"""Compare the processor time that two versions of Mien take to enrol and to recognise the same photos.

    python -m benchmarks.versions OTHER/.venv/bin/python FOLDER --rounds 10

The first interpreter has the other version installed; this one runs this version. FOLDER contains portraits. Each
round runs both in a process of its own, in an order that alternates, on an empty data folder; the figures are medians
over all rounds of the processor time (user and system) for each photo, without loading the models.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import json, sys, time
from pathlib import Path
import mien

photos = [Path(name).read_bytes() for name in json.loads(sys.argv[1])]
with mien.open_app() as app:
    app.enroll(photos[0], "warm")
    app.recognize(photos[0])
    times = []
    for job in (lambda number, photo: app.enroll(photo, f"person-{number}"), lambda _, photo: app.recognize(photo)):
        begun = time.process_time()
        for number, photo in enumerate(photos):
            job(number, photo)
        times.append(1000 * (time.process_time() - begun) / len(photos))
print(json.dumps(times))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("other", help="The interpreter that has the other version.")
    options.add_argument("photos", type=Path)
    options.add_argument("--count", type=int, default=40)
    options.add_argument("--rounds", type=int, default=10)
    given = options.parse_args()
    photos = [str(path.resolve()) for path in sorted(given.photos.rglob("*.jpg"))][: given.count]
    versions = {"other": given.other, "this": sys.executable}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in versions}
    for number in range(given.rounds):
        for name in list(versions)[:: 1 if number % 2 else -1]:
            times[name].append(measure(versions[name], photos, with_path=name == "this"))
    for index, job in enumerate(("enrolment", "recognition")):
        other, this = (statistics.median(spent[index] for spent in times[name]) for name in versions)
        print(f"{job}: {this:.2f} ms a photo, {other:.2f} ms in the other version ({this / other - 1:+.1%})")


def measure(interpreter: str, photos: list[str], *, with_path: bool) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        settings = os.environ | {"MIEN_DATA_DIR": folder}
        if not with_path:
            settings.pop("PYTHONPATH", None)
        command = [interpreter, "-c", PROGRAM, json.dumps(photos)]
        enrolment, recognition = json.loads(subprocess.check_output(command, env=settings, cwd=folder))
    return enrolment, recognition


if __name__ == "__main__":
    main()
