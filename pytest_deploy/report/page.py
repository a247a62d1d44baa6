"""The report as one self-contained page: no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.report import overview, plot, summary, svg
from pytest_deploy.report.record import Record
from pytest_deploy.report.text import plain

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]

_HERE = Path(__file__).parent
_TONES = {"passed": "good", "done": "good", "failed": "bad", "broken": "bad"}


def render(record: Record) -> str:
    """Return the page.

    Everything is escaped, and a Content-Security-Policy allows this page's own style (by its hash) and
    nothing else, so that text from outside can neither run nor load anything.
    """
    from markupsafe import Markup

    css = (_HERE / "page.css").read_text("utf-8") + svg.CSS
    css_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            summary=summary,
            duration=format_duration,
            tones=_TONES,
            overview=Markup(svg.without_style(overview.render(record))),  # noqa: S704 - the builder escapes all text
            gates=[
                (verdict, Markup(svg.without_style(picture)))  # noqa: S704 - the same
                for verdict, picture in zip(record.verdicts, plot.pictures(record).values(), strict=True)
            ],
            css=Markup(css),  # noqa: S704 - our own file; escaped it would be another style than its hash says
            css_hash=css_hash,
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def clean(value: object) -> object:
        return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        keep_trailing_newline=True,
    )
    environment.filters["block"] = lambda text: escape(plain(text, lines=True))
    return environment
