"""Where our lines go while pytest captures everything: a duplicate of its terminal's file."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import pytest

__all__ = ["Terminal"]


class Terminal:
    """Writes whole lines to the real standard output, also while a test's output is captured.

    Args:
        config: of the session; with ``-q`` or in a worker of pytest-xdist nothing is written until the end.

    Attributes:
        begun: pytest has begun a line (a file's path, a node id) that ours must not be stuck to.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._out: TextIO | None = None
        self.begun = False
        self.quiet = config.get_verbosity() < 0 or hasattr(config, "workerinput")

    def line(self, text: str) -> None:
        """Write a line."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write text as it is; what pytest has begun to write on this line is ended first."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.flush()
        out = self._file()
        out.write("\n" + text if self.begun else text)
        out.flush()
        self.begun = False

    def ask(self, question: str) -> str | None:
        """Put a question to the person at the terminal and return the answer; None where nobody is there.

        pytest has put something else in the place of standard input: it is asked once that is taken away.
        """
        if not self.is_terminal:
            return None
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        try:
            if not sys.stdin.isatty():
                return None
            self.write(question)
            return sys.stdin.readline()
        finally:
            if capture is not None:
                capture.resume_global_capture()

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be looking, so that a line can be redrawn."""
        return self._file().isatty()

    def _file(self) -> TextIO:
        if self._out is None:
            capture = self._config.pluginmanager.get_plugin("capturemanager")
            if capture is not None:
                capture.suspend_global_capture()
            try:
                self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
            finally:
                if capture is not None:
                    capture.resume_global_capture()
        return self._out
