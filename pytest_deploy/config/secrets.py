"""Secrets are only ever named: ``${env:NAME}`` or ``${file:path}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, JsonValue

from pytest_deploy.config.source import Key
from pytest_deploy.errors import ConfigError

__all__ = ["NamedSecret", "Secrets", "literal_secrets", "named_secrets", "resolve_secret"]

_NAMED = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)|file:([^\s{}][^{}]*))\}")
_SECRET_KEY = re.compile(r"(?i)(?:token|secret|password|passwd|api_?key|private_?key|webhook(?:_url)?)$")


def _named(value: str) -> str:
    if not _NAMED.fullmatch(value):
        raise ValueError("a secret must be named as ${env:NAME} or ${file:path}, not written out")
    return value


NamedSecret = Annotated[str, AfterValidator(_named)]
"""The name of a secret; ``resolve_secret`` gives the secret itself."""


def resolve_secret(text: str, environ: Mapping[str, str], read_file: Callable[[str], str]) -> str:
    """Return the secret that the text names; call it only where the secret is used.

    Args:
        text: ``${env:NAME}`` or ``${file:path}``.
        environ: where NAME is looked up.
        read_file: returns the text of a file; raises OSError. A trailing newline is no part of a secret.

    Raises:
        ConfigError: the text names none, or what it names is absent or empty. No message holds a secret.
    """
    named = _NAMED.fullmatch(text)
    if named is None:
        raise ConfigError(["a secret must be named as ${env:NAME} or ${file:path}, not written out"])
    variable, path = named.groups()
    if variable is not None:
        secret = environ.get(variable, "")
        absent, hint = "the variable is not set, or empty", f"set {variable} where the deploy runs"
    else:
        try:
            secret = read_file(path).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                [f"{text}: {type(error).__name__}: the file can't be read"], hint=f"write the secret into {path}"
            ) from error
        absent, hint = "the file is empty", f"write the secret into {path}"
    if not secret:
        raise ConfigError([f"{text}: {absent}"], hint=hint)
    return secret


class Secrets:
    """Looks up named secrets, and remembers each that was found, so that it can be taken out of all text.

    Args:
        environ: of the process.
        folder: relative paths are taken from it.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self.seen: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return the secret that the text names, or the text where it names none.

        Raises:
            ConfigError: what it names is absent or empty. No message holds a secret.
        """
        if not _NAMED.fullmatch(text):
            return text
        secret = resolve_secret(text, self._environ, lambda path: (self._folder / path).read_text())
        self.seen.add(secret)
        return secret


def named_secrets(value: JsonValue) -> Iterator[str]:
    """Yield each text that names a secret, however deep."""
    if isinstance(value, str) and _NAMED.fullmatch(value):
        yield value
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from named_secrets(below)


def literal_secrets(value: JsonValue, key: Key = ()) -> Iterator[Key]:
    """Yield the keys that are called like a secret, and whose value is written out instead of named."""
    if isinstance(value, dict):
        for name, below in value.items():
            here = (*key, name)
            if isinstance(below, dict | list):
                yield from literal_secrets(below, here)
            elif _SECRET_KEY.search(name) and below is not None and not _NAMED.fullmatch(str(below)):
                yield here
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from literal_secrets(below, (*key, index))
