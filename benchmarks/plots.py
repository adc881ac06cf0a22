"""Figures over gallery sizes to plots: one per figure, one line per index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Table = Mapping[int, Mapping[str, Mapping[str, float | None]]]

FIGURES = {
    "p50_ms": "One probe, median (ms)",
    "batch64_ms_per_probe": "64 probes at once, per probe (ms)",
    "recall_of_matches": "Recall of matches",
    "rss_mb": "Resident memory (MB)",
    "start_s": "Start to first answer (s)",
}


def by_size(table: Table, folder: Path) -> None:
    """Write search-<figure>.svg into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(name for figures in table.values() for name in figures)
    for figure, title in FIGURES.items():
        plot, axes = plt.subplots(figsize=(6, 4))
        for name in names:
            points = [(size, known[name].get(figure)) for size, known in sorted(table.items()) if name in known]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xscale="log", xlabel="Faces in the collection", title=title)
        if figure != "recall_of_matches":
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
        plot.savefig(folder / f"search-{figure.replace('_', '-')}.svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(plot)
