"""Plot figures over gallery sizes: one plot per figure, one line per index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURES = {
    "p50_ms": "One probe, median (ms)",
    "batch64_ms_per_probe": "64 probes at once, per probe (ms)",
    "recall_of_matches": "Recall of matches",
    "rss_mb": "Resident memory of the process (MB)",
    "build_s": "Loading and building (s)",
    "start_s": "Process start to first answer (s)",
}


def by_size(lines: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write search-<figure>.svg into the folder; of several results for one index and size, the last is drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"svg.hashsalt": "mien", "svg.fonttype": "none"})
    for figure, title in FIGURES.items():
        plot, axes = plt.subplots(figsize=(6, 4))
        for name in dict.fromkeys(line["index"] for line in lines):
            points = {line["faces"]: line[figure] for line in lines if line["index"] == name and figure in line}
            if points:
                axes.plot(*zip(*sorted(points.items()), strict=True), marker="o", label=name)
        axes.set(xscale="log", xlabel="Faces in the collection", title=title)
        if figure != "recall_of_matches":
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
        plot.savefig(folder / f"search-{figure.replace('_', '-')}.svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(plot)
