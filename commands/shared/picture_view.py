"""Draws a picture of the running pipeline for a person to look at (rich). Pure: a picture in, something drawn out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from commands.shared.picture import LiveCandle, Picture, ProcessLine, ShownSignal, Step
from utils.market.ist import IST

_BARS = "▁▂▃▄▅▆▇█"
_BODY_WIDTH = 14
_UP, _DOWN, _DIM = "green3", "red3", "grey58"
_LAG_FINE_MS, _LAG_SLOW_MS = 10_000, 60_000


def draw(picture: Picture) -> RenderableType:
    """The whole view."""
    return Group(
        _head(picture),
        *([draw_steps(picture.steps)] if picture.steps else []),
        Panel(_candles(picture.live), title="live candles", title_align="left", border_style="grey37"),
        _beside(_signals_panel(picture.signals), _side(picture)),
    )


def draw_steps(steps: Sequence[Step]) -> RenderableType:
    """A bar for each thing that is made ready; a step of unknown length moves to and fro."""
    grid = Table.grid(expand=True, padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=2, no_wrap=True)
    for step in steps:
        bar = ProgressBar(total=step.of or None, completed=step.done, pulse=not step.of, finished_style=_UP)
        grid.add_row(Text(step.name), bar, Text(step.note, style=_DIM))
    return Panel(grid, title="being made ready", title_align="left", border_style="grey37")


def steps_line(steps: Sequence[Step]) -> str:
    """The same in one line."""
    return "  ready    " + "; ".join(f"{step.name}: {step.note}" for step in steps)


def first_candle_line(candle: LiveCandle, seconds: float) -> str:
    """The first live candle, and how long it took."""
    places = decimals_of((candle.open, candle.high, candle.low, candle.close))
    prices = (candle.open, candle.high, candle.low, candle.close)
    prices_text = " ".join(f"{name} {price:,.{places}f}" for name, price in zip("OHLC", prices, strict=True))
    volume = "" if candle.volume is None else f" volume {candle.volume:,}"
    return f"First live candle after {seconds:.1f} s: {candle.symbol} {candle.timeframe}  {prices_text}{volume}"


def progress_line(picture: Picture) -> str:
    """The same in one line, for logs and terminals that cannot be drawn on."""
    rejected = sum(picture.rejected.values())
    lags = ", ".join(
        f"{process.name} {_lag_text(process.lag_ms)}" for process in picture.processes if process.lag_ms is not None
    )
    down = [process.name for process in picture.processes if not process.alive]
    return (
        f"{clock_text(picture.market_ms)} {picture.progress:4.0%}  packets {picture.packets:,} "
        f"({picture.packets_a_second:,.0f}/s)  candles {sum(picture.candles.values()):,} "
        f"(+{picture.revisions} revised)  signals {picture.signals_published}  rejected {rejected:,}"
        + (f"  lag: {lags}" if lags else "")
        + (f"  NO WORD FROM: {', '.join(down)}" if down else "")
    )


def sparkline(closes: Sequence[float]) -> str:
    """The closes as a row of bars, lowest to highest."""
    if not closes:
        return ""
    low, high = min(closes), max(closes)
    span = (high - low) or 1.0
    return "".join(_BARS[round((close - low) / span * (len(_BARS) - 1))] for close in closes)


def candle_body(candle: LiveCandle, width: int = _BODY_WIDTH) -> str:
    """The candle lying down: `──███───`, wick from low to high, body from open to close."""
    span = (candle.high - candle.low) or 1.0

    def cell(price: float) -> int:
        return round((price - candle.low) / span * (width - 1))

    first, last = sorted((cell(candle.open), cell(candle.close)))
    return "".join("█" if first <= at <= last else "─" for at in range(width))


def clock_text(at_ms: int) -> str:
    """`10:42:17` IST."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(IST).strftime("%H:%M:%S")


def _beside(left: RenderableType, right: RenderableType) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=3)
    grid.add_column(ratio=2)
    grid.add_row(left, right)
    return grid


def decimals_of(prices: Iterable[float]) -> int:
    """Two, or four where two would cut these prices (currencies)."""
    return 2 if all(abs(price - round(price, 2)) < 1e-9 for price in prices) else 4


def _head(picture: Picture) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 2))
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        Text(clock_text(picture.market_ms), style="bold"),
        ProgressBar(total=1.0, completed=picture.progress, complete_style=_UP, finished_style=_UP),
        Text(f"{clock_text(picture.from_ms)[:5]} to {clock_text(picture.until_ms)[:5]}", style=_DIM),
    )
    return Panel(Group(line, _numbers(picture)), title=f"[bold]{picture.title}", border_style="grey37")


def _numbers(picture: Picture) -> Text:
    text = Text.assemble(
        (f"{picture.packets:,}", "bold"),
        f" ticks ({picture.packets_a_second:,.0f}/s)   ",
        (f"{sum(picture.candles.values()):,}", "bold"),
        f" candles ({picture.candles_a_second:,.0f}/s, {picture.revisions} revised)   ",
        (f"{picture.signals_published}", "bold"),
        " signals\n",
    )
    for timeframe, count in picture.candles.items():
        text.append(f"{timeframe} ", style=_DIM)
        text.append(f"{count:,}   ")
    return text


def _candles(candles: Sequence[LiveCandle]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True, header_style=_DIM, pad_edge=False)
    table.add_column("instrument", no_wrap=True, min_width=16)
    for name in ("open", "high", "low", "close"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("volume", "ticks"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last closes, 1m", no_wrap=True, ratio=1)
    for candle in candles:
        table.add_row(*_candle_cells(candle))
    return table if candles else Align.center(Text("waiting for the first trade", style=_DIM))


def _candle_cells(candle: LiveCandle) -> list[RenderableType]:
    style = _UP if candle.close >= candle.open else _DOWN
    trend = _UP if not candle.closes or candle.close >= candle.closes[0] else _DOWN
    volume = "" if candle.volume is None else f"{candle.volume:,}"
    places = decimals_of((candle.open, candle.high, candle.low, candle.close))
    return [
        Text(f"{candle.symbol} {candle.timeframe}", style="" if candle.complete else _DIM),
        *(Text(f"{price:,.{places}f}") for price in (candle.open, candle.high, candle.low)),
        Text(f"{candle.close:,.{places}f}", style=f"bold {style}"),
        Text(candle_body(candle), style=style),
        Text(volume),
        Text(str(candle.ticks)),
        Text(sparkline(candle.closes), style=trend),
    ]


def _signals_panel(signals: Sequence[ShownSignal]) -> Panel:
    table = Table(box=box.SIMPLE_HEAD, header_style=_DIM, pad_edge=False)
    for name in ("time", "instrument", "", "entry", "stop", "target"):
        table.add_column(name, justify="right" if name in {"entry", "stop", "target"} else "left", no_wrap=True)
    for signal in signals:
        places = decimals_of((signal.entry,))
        table.add_row(
            clock_text(signal.at_ms),
            f"{signal.symbol} {signal.timeframe}",
            Text(signal.direction, style=f"bold {_UP if signal.direction == 'LONG' else _DOWN}"),
            *(f"{price:,.{places}f}" for price in (signal.entry, signal.stop, signal.target)),
        )
    body: RenderableType = table if signals else Text("none yet: every condition must hold at once", style=_DIM)
    return Panel(body, title="last signals", title_align="left", border_style="grey37")


def _side(picture: Picture) -> Panel:
    grid = Table.grid(padding=(0, 2))
    for process in picture.processes:
        grid.add_row(*_process_cells(process))
    rejected = ", ".join(f"{reason} {count:,}" for reason, count in picture.rejected.items()) or "nothing"
    return Panel(
        Group(grid, Text(f"\nrejected: {rejected}", style=_DIM)),
        title="processes",
        title_align="left",
        border_style="grey37",
    )


def _process_cells(process: ProcessLine) -> list[RenderableType]:
    dot = Text("●", style=_UP if process.alive else _DOWN)
    return [dot, Text(process.name), Text(_lag_text(process.lag_ms), style=_lag_style(process.lag_ms)), process.note]


def _lag_text(lag_ms: int | None) -> str:
    return "" if lag_ms is None else f"{lag_ms / 1000:,.1f} s"


def _lag_style(lag_ms: int | None) -> str:
    if lag_ms is None or lag_ms <= _LAG_FINE_MS:
        return _UP
    return "yellow3" if lag_ms <= _LAG_SLOW_MS else _DOWN
