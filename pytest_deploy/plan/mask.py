"""Takes secrets out of manifests so that it still shows whether they change."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_deploy.config.secrets import literal_secrets
from pytest_deploy.report import Redactor

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json

__all__ = ["Masker", "secret_values"]

_HELD = ("data", "stringData", "binaryData")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Holds the whole object again, a Secret's data too."""
_ORDINARY = frozenset({"true", "false", "null", "none"})
"""Values that many a Secret has, and that hide nothing: without them no manifest could be read any more."""


def secret_values(manifests: Iterable[Json | Mapping[str, Json]]) -> Iterator[str]:
    """Yield what the Secrets among the manifests hold, wherever they stand in them: as written, and decoded."""
    for node in manifests:
        if isinstance(node, Mapping):
            if node.get("kind") == "Secret":
                for held in _HELD:
                    yield from _held(node.get(held))
            applied = node.get(_APPLIED)
            if isinstance(applied, str):
                yield from secret_values([_parsed(applied)])
            yield from secret_values(node.values())
        elif isinstance(node, list | tuple):
            yield from secret_values(node)


class Masker:
    """Puts ``[secret 3f2a9c1d, changed]`` in the place of each secret value.

    The number is the same for the same value within this run, and for nobody else: it is keyed with random bytes, so
    that a weak password can't be guessed from it. Masked are the values of Secrets, what stands under a key (or in an
    environment variable) that is called like a secret, kubectl's copy of the object, and each known secret anywhere.

    Args:
        known: secrets to be taken out wherever they stand, in every spelling; ``secret_values`` of all manifests.
        public: words that are no secrets although a Secret may hold them: names that deploy.yaml tells.
        rewrite: further texts to be put in another's place: what stands for a digest that nobody knows yet.
    """

    def __init__(
        self, known: Collection[str], *, public: Collection[str] = (), rewrite: Mapping[str, str] | None = None
    ) -> None:
        spoken = {word.lower() for word in (*public, *_ORDINARY)}
        self._redact = Redactor({value for value in known if value.strip().lower() not in spoken})
        self._rewrite = rewrite or {}
        self._key = secrets.token_bytes(32)

    def __call__(self, text: str) -> str:
        """Return a text without known secrets."""
        for old, new in self._rewrite.items():
            text = text.replace(old, new)
        return self._redact(text)

    def manifest(self, node: Json | Mapping[str, Json], other: Json | Mapping[str, Json] = None) -> Json:
        """Return the same manifest with masked values.

        Args:
            other: the same object on the other side of the comparison; None: there is none.
        """
        if isinstance(node, Mapping):
            beside = other if isinstance(other, Mapping) else {}
            return {self(str(key)): self._value(node, key, beside.get(key)) for key in node}
        if isinstance(node, list | tuple):
            return [self.manifest(item, _beside(item, index, other)) for index, item in enumerate(node)]
        if node is None or isinstance(node, bool):
            return node
        shown = self(str(node))
        return node if shown == str(node) else shown

    def _value(self, node: Mapping[str, Json], key: str, other: Json) -> Json:
        value = node[key]
        if value is None or value == "":
            return value
        if node.get("kind") == "Secret" and key in _HELD:
            if not isinstance(value, Mapping):
                return self._marker(value, other)
            beside = other if isinstance(other, Mapping) else {}
            return {self(str(name)): self._marker(each, beside.get(name)) for name, each in value.items()}
        name = node.get("name")
        called = name if key == "value" and isinstance(name, str) else key
        if key == _APPLIED or (isinstance(value, str) and any(literal_secrets({str(called): "x"}))):
            return self._marker(value, other)
        return self.manifest(value, other)

    def _marker(self, value: Json, other: Json) -> str:
        number = self._number(value)
        if other is None:
            return f"[secret {number}]"
        return f"[secret {number}, {'unchanged' if number == self._number(other) else 'changed'}]"

    def _number(self, value: Json) -> str:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def _held(values: Json) -> Iterator[str]:
    for value in values.values() if isinstance(values, Mapping) else [values]:
        if isinstance(value, str):
            yield value
            try:
                yield base64.b64decode("".join(value.split()), validate=True).decode()
            except (binascii.Error, ValueError):
                continue
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)


def _beside(item: Json, index: int, other: Json | Mapping[str, Json]) -> Json:
    """Return an item's counterpart: the one of the same name, else the one at the same place."""
    if not isinstance(other, list | tuple):
        return None
    if isinstance(item, Mapping) and "name" in item:
        return next((each for each in other if isinstance(each, Mapping) and each.get("name") == item["name"]), None)
    return other[index] if index < len(other) else None


def _parsed(text: str) -> Json:
    try:
        found: Json = json.loads(text)
    except ValueError:
        return None
    return found
