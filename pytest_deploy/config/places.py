"""Where each key was set: a place in the file, or an option of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_deploy.config.source import Key

__all__ = ["Places"]


@dataclass(slots=True, kw_only=True)
class Places:
    """Line and column of the keys in the file, and the options that set others.

    Args:
        file: the file's name as messages show it.
        keys: line and column from 1.
        options: key, and the option's text (``--deploy-set slo.window_minutes=1``).
    """

    file: str
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    options: dict[Key, str] = field(default_factory=dict)

    def override(self, key: Key, option: str) -> None:
        """Note that an option set this key, and with it all keys below."""
        self.keys = {known: place for known, place in self.keys.items() if known[: len(key)] != key}
        self.options = {known: text for known, text in self.options.items() if known[: len(key)] != key}
        for length in range(1, len(key) + 1):  # the mappings that were made on the way, too
            if key[:length] not in self.keys:
                self.options.setdefault(key[:length], option)

    def of(self, key: Key) -> str:
        """Return the place of the key; where it has none, of the nearest one above."""
        option, (line, column) = self.find(key)
        return option or f"{self.file}:{line}:{column}"

    def find(self, key: Key) -> tuple[str, tuple[int, int]]:
        """Return the option ("" for a key of the file), and line and column (0, 0 for an option)."""
        for length in range(len(key), 0, -1):
            if (option := self.options.get(key[:length])) is not None:
                return option, (0, 0)
            if (place := self.keys.get(key[:length])) is not None:
                return "", place
        return "", (1, 1)
