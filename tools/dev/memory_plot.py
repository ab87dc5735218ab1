"""Plots of what `make memory` found, as SVG: the same figures give the same bytes. Readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2933 }
  .title { font-size: 16px; font-weight: 600 }
  .small, .tick { font-size: 11px; fill: #52606d }
  .grid { stroke: #9aa5b1; stroke-opacity: .35 }
  .mark { stroke: #7b8794; stroke-dasharray: 2 3 }
  .python, .frozen { fill: #2f7fc1 } .mpy { fill: #8fbfe6 } .tls, .alone { fill: #d9822b }
  .in-frozen, .in-alone { font-size: 11px; fill: #ffffff } .in-mpy { font-size: 11px; fill: #12324d }
  .peak { stroke: #b4235a; stroke-width: 2; fill: none }
  .peaks { fill: #b4235a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small, .tick { fill: #b8c2cc } .peak { stroke: #f1729f } .peaks { fill: #f1729f }
    .python, .frozen { fill: #4c9fe0 } .mpy { fill: #2b5d86 } .tls, .alone { fill: #e59a4c }
    .in-frozen, .in-alone { fill: #0b1a26 } .in-mpy { fill: #e4e7eb }
  }
"""
_WIDTH = 860


@dataclass(frozen=True)
class Bar:
    """A row of the least-heap plot: bytes by kind ("alone", "frozen", "mpy")."""

    title: str
    sizes: dict[str, int]


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} rx="2" class="{kind}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _kb(size: float) -> str:
    return f"{size / 1024:.1f}"


def least_heaps(title: str, bars: Sequence[Bar], boards: Sequence[tuple[str, int]]) -> str:
    """Horizontal bars of the least heap of each configuration, with the heaps of some `boards` (name, bytes)."""
    left, right, top, row, thick = 270, 30, 74, 42, 15
    largest = max(max(bar.sizes.values()) for bar in bars)
    largest = max([largest, *(size for _, size in boards)])
    step = 16 * 1024
    scale = (_WIDTH - left - right) / (-(-largest // step) * step)
    bottom = top + row * len(bars)
    parts = [_text(16, 26, title, "title")]
    x = 16.0
    for kind, name in (("alone", "module tls alone"), ("frozen", "rootlet frozen"), ("mpy", "rootlet as .mpy files")):
        parts += [_rect(x, 40, 12, 12, kind), _text(x + 18, 50, name, "small")]
        x += 40 + 6.2 * len(name)
    for tick in range(0, -(-largest // step) * step + 1, step):
        at = left + tick * scale
        parts += [_line(at, top - 6, at, bottom, "grid"), _text(at, bottom + 16, f"{tick // 1024}", "tick", "middle")]
    parts.append(_text(_WIDTH - right, bottom + 32, "KiB of heap", "small", "end"))
    for number, bar in enumerate(bars):
        y = top + number * row
        parts.append(_text(left - 12, y + row / 2 + 1, bar.title, "", "end"))
        room = row - 10 - thick * len(bar.sizes)
        for place, (kind, size) in enumerate(bar.sizes.items()):
            at = y + room / 2 + place * thick
            parts.append(_rect(left, at, size * scale, thick - 2, kind))
            parts.append(_text(left + size * scale - 5, at + thick - 4, _kb(size), f"in-{kind}", "end"))
    for name, size in boards:
        at = left + size * scale
        parts += [_line(at, top - 6, at, bottom, "mark"), _text(at, top - 12, name, "small", "middle")]
    return _svg(bottom + 44, escape(title), parts)


@dataclass(frozen=True)
class Moment:
    """A phase: live bytes, Python's and Mbed TLS's; and the peak up to it from the phase before."""

    name: str
    python: int
    tls: int
    peak: int


def phases(title: str, panels: Sequence[tuple[str, Sequence[Moment]]]) -> str:
    """Live bytes at each phase, one panel for each configuration, with the peak on the way to the phase."""
    left, right, top, height, gap = 56, 16, 96, 230, 28
    largest = max(moment.peak for _, moments in panels for moment in moments)
    step = 8 * 1024
    ceiling = -(-largest // step) * step
    scale = height / ceiling
    bottom = top + height
    width = (_WIDTH - left - right - gap * (len(panels) - 1)) / len(panels)
    parts = [_text(16, 26, title, "title")]
    x = 16.0
    for kind, name in (("python", "Python"), ("tls", "Mbed TLS"), ("peaks", "peak on the way there")):
        parts += [_rect(x, 40, 12, 12 if kind != "peaks" else 3, kind), _text(x + 18, 50, name, "small")]
        x += 48 + 6.4 * len(name)
    for tick in range(0, ceiling + 1, step):
        y = bottom - tick * scale
        parts += [_line(left, y, _WIDTH - right, y, "grid"), _text(left - 8, y + 4, f"{tick // 1024}", "tick", "end")]
    parts.append(_text(left - 8, top - 12, "KiB", "small", "end"))
    for number, (name, moments) in enumerate(panels):
        x0 = left + number * (width + gap)
        parts.append(_text(x0 + width / 2, top - 12, name, "", "middle"))
        slot = width / len(moments)
        for place, moment in enumerate(moments):
            x = x0 + place * slot + slot * 0.16
            wide = slot * 0.68
            python, tls = moment.python * scale, moment.tls * scale
            parts.append(_rect(x, bottom - python, wide, python, "python"))
            parts.append(_rect(x, bottom - python - tls, wide, tls, "tls"))
            y = bottom - moment.peak * scale
            parts.append(f'<path d="M{x - 3:.1f} {y:.1f}h{wide + 6:.1f}" class="peak"/>')
            middle = x + wide / 2
            parts.append(
                f'<text x="{middle:.1f}" y="{bottom + 14:.1f}" class="small" text-anchor="end" '
                f'transform="rotate(-35 {middle:.1f} {bottom + 14:.1f})">{escape(moment.name)}</text>'
            )
    return _svg(bottom + 78, escape(title), parts)
