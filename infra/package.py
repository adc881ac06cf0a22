"""Build .package/, the code of all functions: locks/lambda.txt and the packages of mien that run on AWS.

Wheels are downloaded for Lambda's platform, whatever this machine is. The engine, the gallery and the embedded backend
are left out. Modules are compiled where this machine has the runtime's Python: Lambda cannot write next to them, so
that each start of a function would compile them again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = {
    "": {"api", "app", "backends", "domain", "lambdas", "rekognition", "security"},  # of rekognition: its settings
    "backends": {"aws"},
}
LOCK = HERE.parent / "locks" / "lambda.txt"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
GLIBC = (34, 28, 27, 26, 17)  # minor versions; Lambda's runtimes use Amazon Linux 2023, which has glibc 2.34


def add_libraries(target: Path, python: str, machine: str) -> None:
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBC]
    wheels = ["--only-binary=:all:", f"--python-version={python}", f"--platform=manylinux2014_{machine}", *platforms]
    subprocess.run([*PIP, *wheels, "--require-hashes", "-r", LOCK, "--target", target], check=True)  # noqa: S603
    shutil.rmtree(target / "bin", ignore_errors=True)  # of which pip would warn when it installs mien


def add_mien(target: Path) -> None:
    subprocess.run([*PIP, "--no-build-isolation", HERE.parent, "--target", target], check=True)  # noqa: S603
    remove_unused(target / "mien")
    shutil.rmtree(target / "bin", ignore_errors=True)


def compile_modules(target: Path, python: str) -> None:
    """Compile all modules, not to be compared with their sources: unpacking a ZIP file changes their times."""
    is_this = python == f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = sys.executable if is_this else _interpreter(f"python{python}")
    if interpreter is None:
        sys.stderr.write(f"python{python} is not here, so that each start of a function will compile its modules.\n")
        return
    options = ["-m", "compileall", "-qq", "-j0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([interpreter, "-I", *options, target], check=True)  # noqa: S603


def _interpreter(name: str) -> str | None:
    """Return where an interpreter is that runs: pyenv has a command that only fails for versions not chosen."""
    found = shutil.which(name)
    runs = found and not subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode  # noqa: S603
    return found if runs else None


def remove_unused(mien: Path) -> None:
    """Delete the packages that the functions never import."""
    for parent, kept in KEPT.items():
        for folder in (mien / parent).iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=HERE.parent / ".package")
    parser.add_argument("--python", default="3.13", help="version, as Runtime in app.yaml")
    parser.add_argument("--machine", default="aarch64", help="architecture, as Architectures in app.yaml")
    options = parser.parse_args()
    shutil.rmtree(options.target, ignore_errors=True)
    add_libraries(options.target, options.python, options.machine)
    add_mien(options.target)
    compile_modules(options.target, options.python)


if __name__ == "__main__":
    main()
