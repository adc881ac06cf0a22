"""The README's commands are run as they stand there, in one shell, and what they print is what it says.

In expected output, `…` stands for anything, and similarities may be others, since processors round differently.
`make demo` is run as the `mien demo` that it calls.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from mien.demo.photos import demo_photos
from mien.errors import SetupError

README = Path(__file__).parents[1] / "README.md"
MARK = "==== next ===="
PATIENCE = 4  # how much longer than a reader we wait


@dataclass(frozen=True)
class Step:
    command: str
    expected: str | None


def steps(text: str) -> list[Step]:
    found = []
    for kind, body in re.findall(r"^```(console|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if kind == "python":
            found.append(Step(f"python - <<'END'\n{body}END", None))
        else:
            parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE)
            found += [Step(command, expected) for command, expected in parts]
    return found


def pattern(expected: str) -> str:
    text = re.escape(expected).replace("…", ".*")
    return re.sub(r"\d+\\\.\d\d(?!\d)", r"\\d+\\.\\d\\d", text)


def tidy(output: str) -> str:
    """Without blank lines, and with one space for several."""
    return "\n".join(" ".join(line.split()) for line in output.splitlines() if line.strip())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step printed."""
    try:
        demo_photos(user_cache_path("mien") / "demo")
    except SetupError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("home")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    script = f"\necho '{MARK}'\n".join(step.command for step in steps(README.read_text(encoding="utf-8")))
    script = script.replace("make demo", "mien demo").replace("mien serve &", f"mien serve --port {port} &")
    script = script.replace(":8000", f":{port}").replace("sleep 3", f"sleep {3 * PATIENCE}")
    done = subprocess.run(
        ["bash", "-c", f"shopt -s expand_aliases; trap 'kill %1' EXIT\n{script}"],
        cwd=home,
        env={
            "HOME": str(home),
            "XDG_CACHE_HOME": str(user_cache_path("mien").parent),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    return done.stdout.split(f"{MARK}\n")


STEPS = steps(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.command.partition("\n")[0][:60] for step in STEPS])
def test_a_command_prints_what_the_readme_says(outputs, number):
    expected, printed = STEPS[number].expected, tidy(outputs[number])
    if expected is None:
        assert printed
    else:
        assert re.fullmatch(pattern(tidy(expected)), printed, re.DOTALL), printed


def test_the_readme_has_the_promised_length():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160
