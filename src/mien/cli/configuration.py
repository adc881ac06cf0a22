"""Show every setting, its value and where it comes from: `mien config`."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from mien.cli import output
from mien.cli.command import Context, Json
from mien.domain.policy import Policy
from mien.settings import PREFIX, UNAVAILABLE, Settings, misspelt_variables

OPTIONS = {"data_dir": "--data-dir", "backend": "--backend"}


def config(context: Context, as_json: Json = False) -> None:
    """Show all settings that the backend has: the variable, its value, and where the value comes from."""
    settings = context.settings
    rows = [
        (f"{PREFIX}{name.upper()}", _shown(value), _source(context, name))
        for name, value in _values(settings).items()
        if name not in UNAVAILABLE[settings.backend]
    ]
    misspelt = misspelt_variables(os.environ)
    if as_json:
        shown = [{"name": name, "value": value, "source": source} for name, value, source in rows]
        output.print_json({"settings": shown, "misspelt": misspelt})
        return
    table = output.table("Setting", "Value", "From")
    for name, value, source in rows:
        table.add_row(name, "" if value is None else output.escape(value), source)
    output.show(table)
    for name, meant in misspelt.items():
        output.note(f"{name} is no setting, and has no effect. Did you mean {meant}?")


def _values(settings: Settings) -> dict[str, Any]:
    """Every setting by the name of its field."""
    parts = {part.name: getattr(settings, part.name) for part in fields(Settings) if part.name != "policy"}
    return parts | {part.name: getattr(settings.policy, part.name) for part in fields(Policy)}


def _shown(value: Any) -> str | None:
    """Return a value as text; None for one that is not set."""
    if value is None or value in ("", (), {}):
        return None
    if isinstance(value, dict):
        return ", ".join(f"{key}={part:g}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _source(context: Context, name: str) -> str:
    if name in OPTIONS and context.meta.get(name) is not None:
        return OPTIONS[name]
    return "environment" if os.environ.get(f"{PREFIX}{name.upper()}") else "default"
