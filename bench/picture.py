"""The report as a picture: for each row with peers, bars of how many times better ours is (SVG, logarithmic)."""

from __future__ import annotations

import math
from html import escape

from bench.results import Report, Row
from bench.table import number

WIDTH, LEFT, RIGHT, LINE = 1_000, 430, 130, 22
_DECADES = 5


def svg(report: Report) -> str:
    """Standalone; a tick on the bar shows what must be reached."""
    rows = [row for row in report.rows if row.peers and row.targets]
    bounded = [row for row in report.rows if "" in row.targets]
    parts: list[str] = []
    y = 66
    for row in rows:
        parts.append(_label(20, y, f"{row.part}  {row.name}", weight="bold"))
        y += LINE
        for peer in row.peers:
            parts += _bar(row, peer, y)
            y += LINE
        y += 8
    for row in bounded:
        parts += _bound(row, y)
        y += LINE
    title = f"Candlewick bench, {report.started}{' (quick)' if report.quick else ''}"
    machine = f"{report.machine['processor']}, {report.machine['cores']} cores; Python {report.machine['python']}"
    head = [
        _label(20, 26, title, 18, "bold"),
        _label(20, 46, f"{machine}. Times better than the peer, logarithmic.", 12),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(head + parts)}</svg>\n'
    )


def _x(ratio: float) -> float:
    share = min(1.0, max(0.0, math.log10(max(ratio, 1.0)) / _DECADES))
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _bar(row: Row, peer: str, y: int) -> list[str]:
    ratio, target = row.ratio(peer), row.targets.get(peer)
    colour = "#9aa5b1" if target is None else "#2f855a" if ratio >= target else "#c05621"
    text = f"{number(ratio)} ×" + (f" (must reach {target:g} ×)" if target else "")
    parts = [
        _label(LEFT - 10, y, f"{peer}: {number(row.peers[peer].median)} {row.unit}", anchor="end"),
        f'<rect x="{LEFT}" y="{y - 12}" width="{max(2.0, _x(ratio) - LEFT):.1f}" height="14" fill="{colour}"/>',
        _label(_x(ratio) + 6, y, text, 12),
    ]
    if target is not None:
        at = _x(target)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - 15}" y2="{y + 5}" stroke="black" stroke-width="2"/>'
        )
    return parts


def _bound(row: Row, y: int) -> list[str]:
    reached = row.is_reached()
    sign = "≥" if row.higher_is_better else "≤"
    text = f"{number(row.ours.median)} {row.unit} (must be {sign} {number(row.targets[''])})"
    colour = "#2f855a" if reached else "#c05621"
    return [
        f'<circle cx="26" cy="{y - 4}" r="6" fill="{colour}"/>',
        _label(40, y, f"{row.part}  {row.name}: {text}", 12),
    ]


def _label(x: float, y: float, text: str, size: int = 13, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
