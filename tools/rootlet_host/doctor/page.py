"""The findings of `rootlet doctor` as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from .checks import Diagnosis
from .memory import Sample

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.2rem 0;color:#4a5568}
table{border-collapse:collapse;width:100%}td,th{padding:.4rem .6rem;border-bottom:1px solid #e2e8f0;text-align:left;
vertical-align:top}th{font-weight:600;white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}
.s{font-weight:600;white-space:nowrap}.ok{color:#1a7f4b}.warn{color:#9a6700}.fail{color:#c0262d}.r{color:#4a5568}
td{overflow-wrap:anywhere}svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:#4a5568}svg .v{fill:#1c2430;font-weight:600}
"""
_SIGNS = {"ok": "✓ ok", "warn": "! warn", "fail": "✗ fail"}
_WIDTH, _HEIGHT = 900, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 40, 30, 130
_COLOURS = ("#2563a8", "#b4570b")


def page(diagnosis: Diagnosis, version: str, when: str) -> str:
    """The page. `version` of rootlet, `when` as text."""
    info = diagnosis.info
    rows = "\n".join(
        f'<tr><td class="s {line.state}">{_SIGNS[line.state]}</td><th scope="row">{escape(line.name)}</th>'
        f"<td>{escape(line.text)}"
        + (f'<div class="r">→ {escape(line.remedy)}</div>' if line.remedy else "")
        + "</td></tr>"
        for line in diagnosis.lines
    )
    title = f"rootlet doctor: {info.machine or info.platform}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(info.port)} · {escape(when)} · rootlet {escape(version)} · "
        f"{len(diagnosis.lines)} checks, {diagnosis.failed} failed</p>",
        f"<h2>Findings</h2><table>{rows}</table>",
    ]
    if len(diagnosis.samples) > 1:
        parts.append(f"<h2>Heap during the first handshake with {escape(diagnosis.host or '')}</h2>")
        parts.append(
            "<p>Live bytes after a garbage collection at each moment. &gt; is sent by the board, &lt; by the server. "
            "The heap also takes the code of the modules, which are loaded as they are needed.</p>"
        )
        parts.append(chart(diagnosis.samples))
        parts.append(_table(diagnosis.samples))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def chart(samples: list[Sample]) -> str:
    """An SVG element: live bytes (kB, vertical) at each moment (one step each, horizontal)."""
    series = [("Python heap", [sample.python for sample in samples])]
    if any(sample.system for sample in samples):
        series.append(("system heap", [sample.system for sample in samples]))
    step_kb, top_kb = _scale(max(max(values) for _, values in series) / 1000)
    across = (_WIDTH - _LEFT - _RIGHT) / (len(samples) - 1)
    down = _HEIGHT - _TOP - _BOTTOM
    base = _TOP + down

    def x(number: int) -> str:
        return f"{_LEFT + number * across:.1f}"

    def y(size: float) -> str:
        return f"{base - size / 1000 / top_kb * down:.1f}"

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Heap over the phases of the handshake">']
    for tick in range(round(top_kb / step_kb) + 1):
        at = y(tick * step_kb * 1000)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at}" dy="4" text-anchor="end">{tick * step_kb:g} kB</text>')
    for number, sample in enumerate(samples):
        label = escape(sample.moment)
        where = f"translate({x(number)},{base + 12}) rotate(40)"
        parts.append(f'<line x1="{x(number)}" x2="{x(number)}" y1="{base}" y2="{base + 5}" stroke="#94a3b8"/>')
        parts.append(f'<text transform="{where}">{label}</text>')
    for number, (name, values) in enumerate(series):
        colour = _COLOURS[number]
        points = " ".join(f"{x(i)},{y(value)}" for i, value in enumerate(values))
        area = f"{x(0)},{base} {points} {x(len(values) - 1)},{base}"
        parts.append(f'<polygon points="{area}" fill="{colour}" fill-opacity="0.12"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for i, value in enumerate(values):
            tip = f"{escape(samples[i].moment)}: {value:,} bytes of the {name}"
            parts.append(f'<circle cx="{x(i)}" cy="{y(value)}" r="3" fill="{colour}"><title>{tip}</title></circle>')
        peak = max(range(len(values)), key=values.__getitem__)
        label = f"{name}: peak {values[peak] / 1000:.1f} kB"
        anchor = "end" if peak > len(values) / 2 else "start"
        parts.append(
            f'<text class="v" x="{x(peak)}" y="{y(values[peak])}" dy="-9" text-anchor="{anchor}">{label}</text>'
        )
    parts.append("</svg>")
    return "\n".join(parts)


def _scale(most: float) -> tuple[float, float]:
    """A round step and the top of an axis that begins at 0 and holds `most` with some room for a label."""
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000):
        if 1.1 * most <= 6 * step:
            break
    count = 1
    while count * step < 1.1 * most:
        count += 1
    return step, count * step


def _table(samples: list[Sample]) -> str:
    system = any(sample.system for sample in samples)
    head = "<tr><th>moment</th><th>ms</th><th>Python heap, bytes</th>" + ("<th>system heap</th>" if system else "")
    rows = "".join(
        f'<tr><td>{escape(sample.moment)}</td><td class="n">{sample.ms}</td><td class="n">{sample.python:,}</td>'
        + (f'<td class="n">{sample.system:,}</td>' if system else "")
        + "</tr>"
        for sample in samples
    )
    return f"<details><summary>The numbers</summary><table>{head}</tr>{rows}</table></details>"
