"""What a tool around the deploy found: words for the step, facts for the record, texts to attach."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Attachment", "Found"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text that belongs to the evidence: a log, a table of findings.

    Args:
        name: as reports title it ("make test", "vulnerabilities").
        text: whole; reports may fold it.
        media_type: ``text/plain``, ``application/json``, ``text/markdown``, ...
    """

    name: str
    text: str
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found; a no and no answer are errors instead.

    Args:
        words: the step's detail, in a line.
        facts: names and values for the record ("approver").
        attachments: the evidence behind the words.
    """

    words: str
    facts: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
