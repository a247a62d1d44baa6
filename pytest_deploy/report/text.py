"""Text from outside, made harmless: reports are read in terminals, browsers and chats."""

from __future__ import annotations

import re

__all__ = ["cell", "clip", "code", "fence", "markdown", "plain"]

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters except tab and newline, and marks that reorder or hide what a reader sees."""
_SPACE = re.compile(r"[\t\n\u2028\u2029]+")
_MARKUP = re.compile(r"([\\`*_\[\]|~#])")
_CHAT_COMMAND = re.compile(r"<(?=[!@#])")
_TICKS = re.compile(r"`+")


def plain(text: str, *, lines: bool = False) -> str:
    """Return the text without escape sequences, control and direction characters.

    Args:
        lines: keep its line ends; else it becomes one line.
    """
    whole = _ANSI.sub("", text.replace("\r\n", "\n")).encode("utf-8", "replace").decode()
    clean = _INVISIBLE.sub("", whole)
    return clean if lines else _SPACE.sub(" ", clean).strip()


def clip(text: str, limit: int, *, where: str = "deploy.json") -> str:
    """Return the text, at most ``limit`` characters of it; what is cut is counted, and stands ``where``."""
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text) - limit} characters more in {where})"


def markdown(text: str) -> str:
    """Return the text as one line of Markdown that shows exactly it: no markup, HTML or chat command in it works."""
    marked = _MARKUP.sub(r"\\\1", plain(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Return the text as Markdown code within a line, for anywhere but a table."""
    clean = _harmless_in_chat(plain(text))
    if not clean:
        return "-"
    ticks = _more_ticks(clean, 1)
    space = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{ticks}{space}{clean}{space}{ticks}"


def cell(text: str) -> str:
    """Return the text as Markdown code within a table's cell, where a bar needs an escape even in code."""
    return code(text).replace("|", "\\|")


def fence(text: str, language: str = "") -> str:
    """Return the text as a Markdown code block that nothing in it can end."""
    clean = _harmless_in_chat(plain(text, lines=True)).rstrip()
    ticks = _more_ticks(clean, 3)
    return f"{ticks}{language}\n{clean}\n{ticks}"


def _more_ticks(text: str, least: int) -> str:
    return "`" * max([least, *(len(run) + 1 for run in _TICKS.findall(text))])


def _harmless_in_chat(text: str) -> str:
    """Slack obeys ``<!channel>`` in code too; no command or query has ``<!``, ``<@`` or ``<#``."""
    return _CHAT_COMMAND.sub("&lt;", text)
