"""The limits that docs/security.md names are those of the code."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import fields, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text("utf-8")
UNITS = {"": 1, "s": 1, "KiB": 2**10, "MiB": 2**20}
LIMITED = ("mien.api.connections", "mien.api.http_protocol", "mien.api.http_parser", "mien.api.request_bodies")
LIMITED += ("mien.api.photo_input", "mien.api.untaken", "mien.domain.waiting", "mien.rekognition.dispatcher")
LIMITED += ("mien.rekognition.server", "mien.security.bodies")
"""Modules that exist to bound clients: whatever they limit is to be in the table."""

NOT_CLIENTS = {"connections.MAX_FILES", "http_protocol.BODY_SECONDS"}
NOT_CLIENTS |= {"dispatcher.MAX_CAUSE_LENGTH", "server.SMALL_BODY_BYTES"}
"""Limits that no client meets, or not before another one."""


def rows() -> list[tuple[str, list[str]]]:
    """The limits of the table as written, and the names in the code, for the rows that have some."""
    table = PAGE[PAGE.index("| resource |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [(limit, names) for _, limit, _, _, code in cells if (names := re.findall(r"`([\w.]+)`", code))]


def value_of(name: str) -> Any:
    """A constant of a module, or the default of a dataclass's field."""
    module, _, rest = name.rpartition(".")
    while True:
        try:
            owner = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, head = module.rpartition(".")
            rest = f"{head}.{rest}"
    *owners, last = rest.split(".")
    owner = reduce(getattr, owners, owner)
    if is_dataclass(owner):
        return next(field.default for field in fields(owner) if field.name == last)
    return getattr(owner, last)


def numbers(text: str) -> list[float]:
    return [
        float(number.replace(",", "")) * UNITS[unit or ""]
        for number, unit in re.findall(r"(\d+(?:,\d{3})*(?:\.\d+)?)(?: (s|KiB|MiB)\b)?", text)
    ]


def constants(module: str) -> set[str]:
    """The names that a module gives values to, without those that it imports."""
    source = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text("utf-8"))
    targets = [target for node in source.body if isinstance(node, ast.Assign) for target in node.targets]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


@pytest.mark.parametrize(("limit", "names"), rows())
def test_a_limit_is_that_of_the_code(limit: str, names: list[str]) -> None:
    assert numbers(limit) == [value_of(name) for name in names]


def test_no_limit_of_clients_is_missing() -> None:
    named = {name for _, names in rows() for name in names}
    missing = set()
    for module in LIMITED:
        for constant in constants(module):
            is_limit = re.fullmatch(r"MAX_[A-Z_]+|[A-Z][A-Z_]*_(SECONDS|BYTES)", constant)
            if is_limit and f"{module.rpartition('.')[2]}.{constant}" not in NOT_CLIENTS:
                missing.add(f"{module}.{constant}")
    assert missing - named == set()
