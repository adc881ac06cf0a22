"""Curves as SVG text. Matplotlib comes with `pip install 'mien[evaluate]'` and loads when something is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import SetupError
from mien.evaluation.metrics import Impostors, Scores

SIZE = (5.6, 3.6)
COLOURS = ("#2457a6", "#c1440e", "#2e7d4f", "#8a4fa3", "#8c6d1f")


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    x: Sequence[float] | NDArray[Any]
    y: Sequence[float] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Axes:
    """Titles and scales; `x_limits` and `y_limits` are None for what the curves need."""

    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    markers: bool = False


def check() -> None:
    """Raises SetupError when nothing can be drawn, so that a long measurement need not end with it."""
    if find_spec("matplotlib") is None:
        raise SetupError("Plots need matplotlib: pip install 'mien[evaluate]'.")


def svg(axes: Axes, curves: Sequence[Curve]) -> str:
    """The drawing; always the same bytes for the same curves. Raises SetupError without matplotlib."""
    check()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": axes.title, "font.size": 9}):
        figure = Figure(figsize=SIZE, layout="constrained")
        _draw(figure.add_subplot(), axes, curves)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw(plot: Any, axes: Axes, curves: Sequence[Curve]) -> None:
    for curve, colour in zip(curves, COLOURS, strict=False):
        plot.plot(curve.x, curve.y, label=curve.label, color=colour, marker="o" if axes.markers else None, markersize=3)
    plot.set(title=axes.title, xlabel=axes.x, ylabel=axes.y)
    plot.set_xscale("log" if axes.log_x else "linear")
    plot.set_yscale("log" if axes.log_y else "linear")
    if axes.x_limits:
        plot.set_xlim(axes.x_limits)
    if axes.y_limits:
        plot.set_ylim(axes.y_limits)
    plot.grid(visible=True, alpha=0.3)
    if len(curves) > 1:
        plot.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(curves), frameon=False)


def roc(genuine: Scores, impostors: Impostors, label: str) -> Curve:
    """TMR over FMR, from the smallest rate that the impostors support."""
    rates = np.geomspace(max(impostors.smallest_rate / 10, 1e-7), 0.1, 60)
    ascending = np.sort(genuine)
    thresholds = [impostors.threshold(rate) for rate in rates]
    return Curve(label, rates, 1 - np.searchsorted(ascending, thresholds) / len(ascending))


def det(genuine: Scores, impostors: Impostors, label: str) -> Curve:
    """FNMR over FMR, the detection error trade-off."""
    curve = roc(genuine, impostors, label)
    return Curve(label, curve.x, 1 - np.asarray(curve.y))
