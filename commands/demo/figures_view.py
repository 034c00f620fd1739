"""Shows the closing figures of a demo (rich)."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.table import Table

from commands.demo.figures import Figures
from commands.demo.truth import TruthCount, total


def candles_table(figures: Figures) -> RenderableType:
    """Candles by timeframe: stored, published, revised, and against the tape."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="grey58")
    for name in ("timeframe", "in MongoDB", "in closed streams", "revisions", "equal the tape", "volume equal"):
        table.add_column(name, justify="left" if name == "timeframe" else "right")
    for name in figures.timeframes:
        counts = (figures.stored.count[name], figures.published.get(name, 0), figures.revisions.get(name, 0))
        table.add_row(name, *(f"{count:,}" for count in counts), *_truth_cells(figures.truth[name]))
    table.add_section()
    everything = (figures.stored.count.total(), sum(figures.published.values()), sum(figures.revisions.values()))
    table.add_row("all", *(f"{count:,}" for count in everything), *_truth_cells(total(figures.truth)))
    return table


def _truth_cells(count: TruthCount) -> tuple[str, str]:
    if not count.true:
        return "none within what was played", ""
    share = 100 * count.equal / count.true
    return f"{count.equal:,} of {count.true:,} ({share:.1f} %)", f"{count.volume_equal:,}"


def figure_lines(figures: Figures) -> list[str]:
    """The rest, a line each."""
    rejected = ", ".join(f"{reason} {count:,}" for reason, count in figures.rejected.items())
    truth = total(figures.truth)
    return [
        f"ticks     {figures.packets:,} packets, {figures.trades:,} of them trades",
        f"signals   {figures.signals_published:,} published, {figures.signals_stored:,} in MongoDB",
        f"rejected  {sum(figures.rejected.values()):,}" + (f" ({rejected})" if rejected else ""),
        f"tape      {truth.equal:,} of {truth.true:,} candles equal the exchange's own trades to the last digit; "
        f"{truth.missing:,} missing, {truth.extra:,} too many (snapshots hide trades: not all can be equal)",
    ]
