"""The report as one table for a terminal or a page (Markdown)."""

from __future__ import annotations

from bench.measure import Sample
from bench.results import Report, Row


def lines(report: Report) -> list[str]:
    """Machine, checks, the table, notes, and what is absent."""
    about = report.machine
    found = [
        f"Candlewick bench {report.started}{' (quick)' if report.quick else ''}: {about['processor']}, "
        f"{about['cores']} cores, {about['memory_gb']} GB, Python {about['python']}, "
        f"load before {about['load_before']}",
        "",
        *(f"{'same' if check.passed else 'DIFFERENT'}: {check.name}: {check.detail}" for check in report.checks),
        "",
        "| row | figure | ours | beside it | ratio | must reach | reached |",
        "|---|---|---:|---|---:|---|---|",
        *(_line(row) for row in report.rows),
        "",
    ]
    found += [f"{row.part} {row.name}: {row.note}" for row in report.rows if row.note]
    found += [f"ABSENT {name}: {reason}" for name, reason in report.absent.items()]
    found += [f"FAILED {failure}" for failure in report.failures]
    found.append(f"took {report.seconds:.0f} s")
    return found


def _line(row: Row) -> str:
    peers = "<br>".join(f"{name} {_text(peer)}" for name, peer in row.peers.items()) or "—"
    ratios = "<br>".join(_ratio(row.ratio(name)) for name in row.peers) or "—"
    targets = "<br>".join(_target(row, name, bound) for name, bound in row.targets.items()) or "—"
    verdict = {True: "yes", False: "**NO**", None: "—"}[row.is_reached()]
    return f"| {row.part} | {row.name} | {_text(row.ours)} {row.unit} | {peers} | {ratios} | {targets} | {verdict} |"


def _target(row: Row, peer: str, bound: float) -> str:
    if peer:
        return f"≥ {bound:g} × {peer}"
    return f"{'≥' if row.higher_is_better else '≤'} {number(bound)} {row.unit}"


def _ratio(value: float) -> str:
    return f"{value:,.0f} ×" if value >= 10 else f"{value:.2g} ×"


def _text(sample: Sample) -> str:
    """The median, and half the spread when there were repetitions."""
    spread = f" ±{sample.spread / 2:.0%}" if len(sample.values) > 1 else ""
    return f"{number(sample.median)}{spread}"


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
