"""Charts as SVG, by hand: axes, lines, bands and marks; readable in light and dark, no script, nothing loaded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from pytest_deploy.report.text import plain

__all__ = ["CSS", "HEIGHT", "WIDTH", "Chart", "without_style"]

WIDTH, HEIGHT = 480, 288
"""Small, so that it can still be read when it is shrunk to a phone; it may be drawn larger."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 470, 54, 216

CSS = (
    ".pd{font:12px system-ui,sans-serif}.pd-bg{fill:#fff}.pd text{fill:#1d2530;stroke:none}"
    ".pd .pd-head{font-weight:600;font-size:14px}.pd .pd-soft{fill:#5b6674}.pd-grid{stroke:#d9dee5}"
    ".pd-value{stroke:#1759b3}.pd-value-dot{fill:#1759b3}.pd-band{fill:#1759b3}.pd-limit{stroke:#b3231b}"
    ".pd-control{stroke:#6b5a00}.pd-moment{stroke:#5b6674}.pd-good{stroke:#116b34}.pd-bad{stroke:#b3231b}"
    ".pd-open{stroke:#875300}"
    "@media (prefers-color-scheme:dark){.pd-bg{fill:#14181d}.pd text{fill:#e3e8ee}.pd .pd-soft{fill:#9aa6b4}"
    ".pd-grid{stroke:#303842}.pd-value{stroke:#6cb0ff}.pd-value-dot{fill:#6cb0ff}.pd-band{fill:#6cb0ff}"
    ".pd-limit{stroke:#ff8a80}.pd-control{stroke:#e0c65a}.pd-moment{stroke:#9aa6b4}.pd-good{stroke:#5fcf8a}"
    ".pd-bad{stroke:#ff8a80}.pd-open{stroke:#f0b95a}}"
)
_FALLBACK = {"value": "#1759b3", "limit": "#b3231b", "control": "#6b5a00", "moment": "#5b6674", "grid": "#d9dee5"}
_FALLBACK |= {"good": "#116b34", "bad": "#b3231b", "open": "#875300"}
"""The light colours again as attributes, for viewers that know no CSS: the background is drawn, so they can be read."""
_DASHES = {"limit": "6 4", "control": "2 3", "moment": "1 3"}

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_HUGE = 1e300
_NOT_XML = re.compile("[\ufffe\uffff]")

Point = tuple[datetime, float]


class Chart:
    """A chart over time, drawn from the back to the front.

    Values beyond the range are drawn at its edge.

    Args:
        ident: tells its ids apart from those of other charts on the same page.
        title, text: the alternative text, short and whole.
        head, under: two lines above the chart.
        span: begin and end of the time axis.
        values: lower and upper end of the other axis.
        unit: what the values are, for the axis; ``factor`` makes what the axis shows of a value (100 for percent).
        ticks: the values to mark; None: round ones.
    """

    def __init__(
        self,
        *,
        ident: str,
        title: str,
        text: str,
        head: str,
        under: str,
        span: tuple[datetime, datetime],
        values: tuple[float, float],
        unit: str,
        factor: float = 1.0,
        ticks: Sequence[float] | None = None,
    ) -> None:
        self._begin, self._end = span
        low, high = (min(max(each, -_HUGE), _HUGE) for each in values)
        self._low, self._high = low, high if high > low else low + 1
        self._keys_x = 46.0
        self._root = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "class": "pd",
                "role": "img",
                "aria-labelledby": f"{ident}-t {ident}-d",
                "font-family": "system-ui, sans-serif",
                "font-size": "12",
                "fill": "none",
            },
        )
        SubElement(self._root, "title", {"id": f"{ident}-t"}).text = _clean(title)
        SubElement(self._root, "desc", {"id": f"{ident}-d"}).text = _clean(text)
        SubElement(self._root, "style").text = CSS
        size = {"width": str(WIDTH), "height": str(HEIGHT)}
        SubElement(self._root, "rect", {"class": "pd-bg", "fill": "#ffffff", **size})
        self._text(head, 10, 20, css="pd-head", most=58)
        self._text(under, 10, 38, css="pd-soft", most=74)
        self._value_axis(unit, factor, ticks)
        self._time_axis()

    def band(self, edges: Sequence[tuple[datetime, float, float]]) -> None:
        """Fill between lower and upper edge; of a single point a bar is drawn."""
        if len(edges) == 1:
            at, low, high = edges[0]
            corners = [(self._x(at) + side, self._y(value)) for side, value in ((-3, low), (-3, high), (3, high))]
            corners.append((self._x(at) + 3, self._y(low)))
        else:
            corners = [(self._x(at), self._y(high)) for at, _, high in edges]
            corners += [(self._x(at), self._y(low)) for at, low, _ in reversed(edges)]
        look = {"class": "pd-band", "fill": _FALLBACK["value"], "fill-opacity": "0.18"}
        SubElement(self._root, "path", {"d": f"{_path(corners)} Z", **look})

    def line(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line through the points; a single one is a dot. ``kind`` is ``value``, ``limit`` or ``control``."""
        places = [(self._x(at), self._y(value)) for at, value in points]
        if len(places) == 1:
            self._stroke(f"M {_n(places[0][0] - 2)} {_n(places[0][1])} h 4", kind, width="4")
        elif places:
            self._stroke(_path(places), kind, width="2")

    def level(self, value: float, kind: str) -> None:
        """Draw a line at one value over the whole time."""
        self._stroke(_path([(_LEFT, self._y(value)), (_RIGHT, self._y(value))]), kind, width="2")

    def moment(self, at: datetime, words: str, *, before: bool = False, row: int = 0) -> None:
        """Mark a moment with a line and its name, which stands before or after the line."""
        x = self._x(at)
        self._stroke(_path([(x, _TOP), (x, _BOTTOM)]), "moment", width="1")
        self._text(words, x + (-4 if before else 4), _TOP + 11 + 13 * row, css="pd-soft", end=before, most=30)

    def mark(self, at: datetime, value: float, tone: str, *, words: str = "", aside: int = 0) -> None:
        """Mark a verdict, by shape and colour: ``good`` a circle, ``bad`` a cross, ``open`` a diamond.

        Args:
            aside: by how many marks it is moved to the left, for several that came at once.
        """
        x = min(self._x(at), _RIGHT - 6) - 13 * aside
        y = min(max(self._y(value), _TOP + 6), _BOTTOM - 6)
        self._shape(x, y, tone)
        if words:
            low = y < _TOP + 34
            self._text(words, x + 6, y + (20 if low else -11), end=True, most=46)

    def key(self, kind: str, words: str) -> None:
        """Add to the row of what the lines and marks mean; ``kind`` as drawn, or ``band``."""
        x, y = self._keys_x, HEIGHT - 12
        if kind == "band":
            look = {"class": "pd-band", "fill": _FALLBACK["value"], "fill-opacity": "0.18"}
            box = {"x": _n(x), "y": _n(y - 5), "width": "18", "height": "10"}
            SubElement(self._root, "rect", {**box, **look})
        elif kind in {"good", "bad", "open"}:
            self._shape(x + 9, y, kind)
        else:
            self._stroke(_path([(x, y), (x + 18, y)]), kind, width="2")
        self._text(words, x + 23, y + 4, most=28)
        self._keys_x += 34 + 6.2 * min(len(words), 28)

    def render(self) -> str:
        """Return the SVG as a document of its own."""
        return tostring(self._root, encoding="unicode")

    def _value_axis(self, unit: str, factor: float, ticks: Sequence[float] | None) -> None:
        for value in _round_ones(self._low * factor, self._high * factor) if ticks is None else ticks:
            y = self._y(value / factor)
            self._stroke(_path([(_LEFT, y), (_RIGHT, y)]), "grid", width="1")
            self._text(f"{value:.6g}", _LEFT - 7, y + 4, css="pd-soft", end=True)
        label = self._text(unit, 0, 0, css="pd-soft", most=30)
        label.attrib |= {"transform": f"translate(15 {(_TOP + _BOTTOM) // 2}) rotate(-90)", "text-anchor": "middle"}

    def _time_axis(self) -> None:
        seconds = (self._end - self._begin).total_seconds()
        step = next((each for each in _STEPS_S if seconds / each <= 6), math.ceil(seconds / 6))
        form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 43200 else "%m-%d %H:%M"
        first = math.ceil(self._begin.timestamp() / step)
        for index in range(first, math.floor(self._end.timestamp() / step) + 1):
            at = datetime.fromtimestamp(index * step, UTC)
            x = self._x(at)
            self._stroke(_path([(x, _BOTTOM), (x, _BOTTOM + 4)]), "grid", width="1")
            self._text(f"{at:{form}}", min(x, WIDTH - 27), _BOTTOM + 17, css="pd-soft", middle=True)
        day = f"time, UTC, {self._begin.astimezone(UTC):%Y-%m-%d}"
        self._text(day, (_LEFT + _RIGHT) / 2, _BOTTOM + 34, css="pd-soft", middle=True)

    def _shape(self, x: float, y: float, tone: str) -> None:
        shapes = {
            "good": f"M {_n(x - 5)} {_n(y)} a 5 5 0 1 0 10 0 a 5 5 0 1 0 -10 0",
            "bad": f"M {_n(x - 5)} {_n(y - 5)} l 10 10 m 0 -10 l -10 10",
        }
        path = shapes.get(tone, f"M {_n(x)} {_n(y - 6)} l 6 6 l -6 6 l -6 -6 Z")
        self._stroke(path, tone, width="2.5")

    def _stroke(self, path: str, kind: str, *, width: str) -> None:
        look = {"class": f"pd-{kind}", "stroke": _FALLBACK[kind], "stroke-width": width}
        if kind in _DASHES:
            look["stroke-dasharray"] = _DASHES[kind]
        SubElement(self._root, "path", {"d": path, **look})

    def _text(
        self, words: str, x: float, y: float, *, css: str = "", end: bool = False, middle: bool = False, most: int = 60
    ) -> Element:
        look = {"x": _n(x), "y": _n(y), "fill": "#5b6674" if css == "pd-soft" else "#1d2530"}
        if css:
            look["class"] = css
        if css == "pd-head":
            look |= {"font-weight": "600", "font-size": "14"}
        if end or middle:
            look["text-anchor"] = "middle" if middle else "end"
        made = SubElement(self._root, "text", look)
        made.text = _short(_clean(words), most)
        return made

    def _x(self, at: datetime) -> float:
        whole = (self._end - self._begin).total_seconds()
        part = (at - self._begin).total_seconds() / whole if whole else 0.5
        return _LEFT + min(max(part, 0.0), 1.0) * (_RIGHT - _LEFT)

    def _y(self, value: float) -> float:
        part = (min(max(value, self._low), self._high) - self._low) / (self._high - self._low)
        return _BOTTOM - part * (_BOTTOM - _TOP)


def without_style(svg: str) -> str:
    """Return the SVG for a page that has the style already (and whose policy allows no other)."""
    return svg.replace(f"<style>{CSS}</style>", "", 1)


def _round_ones(low: float, high: float) -> Iterable[float]:
    """Return three to six round values between both."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [(first + index) * step for index in range(8) if (first + index) * step <= high + step * 1e-9]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M " + " L ".join(f"{_n(x)} {_n(y)}" for x, y in places)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _clean(text: str) -> str:
    return _NOT_XML.sub("", plain(text))
