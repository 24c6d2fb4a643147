"""Figures of a benchmark and their table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    ours, baseline: one value for each round, in `unit`; the two took turns. No baseline: `ours` itself is compared with
    the goal. goal: the most that the ratio (or the value) may be; None: it is only reported. missing: why there is no
    value. at_least: the baseline was cut short at its value, so that the ratio is an upper bound.
    """

    name: str
    ours: Sequence[float] = ()
    baseline: Sequence[float] = ()
    goal: float | None = None
    unit: str = "s"
    note: str = ""
    missing: str = ""
    at_least: bool = False

    @property
    def result(self) -> float | None:
        """What is compared with the goal: the ratio of the medians, or the median where there is no baseline."""
        if self.missing or not self.ours:
            return None
        if not self.baseline:
            return statistics.median(self.ours)
        return statistics.median(self.ours) / statistics.median(self.baseline)

    @property
    def verdict(self) -> str:
        """met, MISSED, "not measured", or "" where there is no goal."""
        if self.result is None:
            return "not measured"
        if self.goal is None:
            return ""
        if self.result <= self.goal:
            return "met"
        return "unknown" if self.at_least else "MISSED"


def _shown(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    middle = statistics.median(values)
    digits = 0 if middle >= 100 or middle == round(middle) and unit != "s" else 1
    text = f"{middle:.{digits}f}" + (f" {unit}" if unit else "")
    if len(values) > 1 and max(values) > min(values):
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    return text


def table(figures: Sequence[Figure], title: str = "") -> Table:
    """The figures as a rich table: medians, with the smallest and largest of several rounds in brackets."""
    shown = Table("figure", title=title or None, title_justify="left", caption_justify="left")
    for heading in ("ours", "baseline", "ratio", "goal"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    colour = {"met": "green", "MISSED": "bold red", "not measured": "yellow", "unknown": "yellow"}
    for figure in figures:
        name = figure.name + "".join(f"\n  {text}" for text in (figure.note, figure.missing) if text)
        ratio = f"{figure.result:.2f}" if figure.result is not None and figure.baseline else ""
        bound = "≥ " if figure.at_least else ""
        shown.add_row(
            name, _shown(figure.ours, figure.unit), bound + _shown(figure.baseline, figure.unit),
            ("≤ " if figure.at_least and ratio else "") + ratio,
            "" if figure.goal is None else f"≤ {figure.goal:g}" + (f" {figure.unit}" if not figure.baseline else ""),
            f"[{colour[figure.verdict]}]{figure.verdict}[/]" if figure.verdict else "",
        )  # fmt: skip
    return shown
