"""Makes a function a verb: it gains --data-dir and --backend, and its errors become sentences and exit codes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.exit_codes import reported

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded data (MIEN_DATA_DIR).")]
Backend = Annotated[str | None, typer.Option(help="embedded or aws (MIEN_BACKEND).")]


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Typer reads the signature; an option that stands for a MIEN_* variable sets it."""

    def run(data_dir: Path | None = None, backend: str | None = None, **words: Any) -> None:
        given = {"MIEN_DATA_DIR": data_dir, "MIEN_BACKEND": backend}
        os.environ.update({name: str(value) for name, value in given.items() if value is not None})
        with reported(as_json=words.get("as_json", False)):
            function(**words)

    signature = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("data_dir", DataDir), ("backend", Backend))
    ]
    words = [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*words, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {part.name: part.annotation for part in [*words, *shared]}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run
