"""Runs the commands of a document as they stand there, in one shell, and compares what they print with what it says.

In expected output, `…` stands for anything, and similarities may be others, since processors round differently.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from tests.support.process import MIEN, free_port

MARK = "==== next ===="
ROOT = Path(__file__).parents[1]
CURL = "alias curl='curl -sS --retry 9 --retry-connrefused'"  # the server may still be starting


@dataclass(frozen=True)
class Step:
    command: str
    expected: str | None

    def __str__(self) -> str:
        return self.command.partition("\n")[0][:60]


def steps(document: Path) -> list[Step]:
    """The commands of a document in their order, each with what the document says that it prints."""
    steps = []
    text = document.read_text(encoding="utf-8")
    for kind, body in re.findall(r"^```(console|python|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if body == "mien serve\n":  # in a terminal of its own
            steps.append(Step("mien serve &", ""))
        elif kind == "python":
            steps.append(Step(f"python - <<'END'\n{body}END", None))
        elif kind == "console":
            parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE)
            steps += [Step(command, expected) for command, expected in parts]
    return steps


def run(document: Path, home: Path, mien: Sequence[str] = MIEN, before: str = ":") -> list[str]:
    """What each step printed, in `home` as the working directory; a server gets a port of its own.

    `mien`: the program that the document's `mien` is. `before`: a command that the reader has given already.
    """
    port = free_port()
    script = f"\necho '{MARK}'\n".join(step.command for step in steps(document))
    script = script.replace("make demo", "mien demo").replace("mien serve &", f"mien serve --port {port} &")
    settled = f"PYTHONPATH={shlex.quote(str(ROOT))} {sys.executable} -m tests.support.settled"  # however long it takes
    script = script.replace(":8000", f":{port}").replace("sleep 3", f"{settled} {port} ~/.local/share/mien")
    aliases = f"shopt -s expand_aliases; {CURL}; alias mien='{shlex.join(mien)}'"
    done = subprocess.run(
        ["bash", "-c", f"{aliases}; trap 'kill %1' EXIT\n{before} > /dev/null\n{script}"],
        cwd=home,
        env={
            "HOME": str(home),
            "XDG_CACHE_HOME": str(user_cache_path("mien").parent),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=300,
    )
    return done.stdout.replace(f":{port}", ":8000").split(f"{MARK}\n")


def fits(step: Step, printed: str) -> bool:
    if step.expected is None:
        return bool(tidy(printed))
    return re.fullmatch(_pattern(tidy(step.expected)), tidy(printed), re.DOTALL) is not None


def tidy(output: str) -> str:
    """Without blank lines, and with one space for several."""
    return "\n".join(" ".join(line.split()) for line in output.splitlines() if line.strip())


def _pattern(expected: str) -> str:
    text = re.escape(expected).replace("…", ".*")
    return re.sub(r"\d+\\\.\d\d(?!\d)", r"\\d+\\.\\d\\d", text)
