"""deployment-checklist.md: a Markdown task list whose items must all be ticked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.errors import GateBreach, Refused

__all__ = ["Checklist"]

_ITEM = re.compile(r"\s*(?:>\s*)*(?:[-*+]|\d{1,9}[.)])\s+\[(?P<mark>[^\]]{0,3})\](?:\s+(?P<text>.*))?$")
"""A list's item that begins with brackets: https://github.github.com/gfm/#task-list-items-extension-"""
_FENCE = re.compile(r"\s*(?:>\s*)*(`{3,}|~{3,})")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LARGEST = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    line: int
    ticked: bool
    text: str


class Checklist:
    """A capability that reads the list anew each time it is asked.

    Args:
        path: of the file.
        name: as messages call it.
    """

    def __init__(self, path: Path, *, name: str = "deployment-checklist.md") -> None:
        self._path = path
        self._name = name

    def __call__(self, subject: str) -> Found:
        """Return that every item is ticked.

        Args:
            subject: the service.

        Raises:
            GateBreach: some are not, each with its line.
            Refused: the file can't be read, or has no item: an empty list is not a complete one.
        """
        try:
            raw = self._path.read_bytes()
            text = raw.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"the checklist {self._name} can't be read: {type(error).__name__}", hint=f"write {self._name} as UTF-8"
            ) from error
        if len(raw) > _LARGEST:
            raise Refused(f"{self._name} has {len(raw)} bytes, at most {_LARGEST} are read", hint="keep the list apart")
        items = list(_items(text))
        whole = Attachment(self._name, text, "text/markdown")
        if not items:
            raise Refused(
                f"{self._name} has no item of the form '- [ ] ...': nothing in it could be left to do",
                hint="write one item a line: - [ ] the runbook names this release",
                attachments=(whole,),
            )
        unticked = [item for item in items if not item.ticked]
        if unticked:
            lines = "\n".join(f"  {self._name}:{item.line}: {item.text}" for item in unticked)
            raise GateBreach(
                f"{len(unticked)} of {len(items)} items of {subject}'s checklist are not ticked, 0 may be:\n{lines}\n"
                f"  next: do them, then put an x between their brackets",
                cause="checklist",
                attachments=(whole,),
            )
        return Found(f"all {len(items)} items of {self._name} are ticked", attachments=(whole,))


def _items(text: str) -> Iterator[_Item]:
    """Yield the items outside of code and comments; brackets that hold anything but an x are not ticked."""
    visible = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    fence = ""
    for number, line in enumerate(visible.splitlines(), start=1):
        mark = _FENCE.match(line)
        if mark is not None:
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence):
                fence = ""
            continue
        item = None if fence else _ITEM.match(line)
        if item is not None:
            words = "".join(c for c in (item["text"] or "").strip() if c.isprintable())
            yield _Item(line=number, ticked=item["mark"].strip().lower() == "x", text=words[:300] or "(no words)")
