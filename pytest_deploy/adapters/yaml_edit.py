"""A digest set in a YAML file, byte for byte the same otherwise: comments, quotes, order and line ends are kept.

PyYAML tells where in the text each node stands, so that only those characters are replaced. The result is read again
and compared: an alias that would change another place too, or anything else unforeseen, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["digest_at", "with_digest"]

_DEEPEST = 50
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def with_digest(text: str, key: str | None, repository: str, digest: str) -> str:
    """Return the text with the digest in its place.

    Args:
        key: dotted, such as ``image.digest``; None: the file is a kustomization, and its entry of ``images`` is meant.
        repository: of the image; a key that holds ``repository:tag`` gets ``repository@digest``.

    Raises:
        ValueError: there is no such place, or it can't be changed without changing something else.
    """
    place = _place(text, key, repository)
    value = digest if place.missing else _new_value(place.node.value, place.shown, repository, digest)
    changed = place.put(text, value)
    _check(text, changed, place, value)
    return changed


def digest_at(text: str, key: str | None, repository: str) -> str | None:
    """Return the digest that stands in the place now; None where none does.

    Raises:
        ValueError: there is no such place.
    """
    place = _place(text, key, repository)
    found = None if place.missing else _DIGEST.search(str(place.node.value))
    return found[0] if found else None


def _new_value(old: str, shown: str, repository: str, digest: str) -> str:
    if old in {"", "~", "null"} or _DIGEST.fullmatch(old):
        return digest
    name = old.partition("@")[0]
    if name == repository or (name.startswith(f"{repository}:") and "/" not in name[len(repository) :]):
        return f"{repository}@{digest}"
    msg = f"{shown} holds {old!r}, which is neither a digest nor an image of {repository}"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the digest stands in the text, or is to stand.

    Args:
        path: keys and indices from the document's top.
        parent: the last mapping that is there; the ``missing`` keys below it are not.
        value: None where something is missing.
        rename: the node of a key that gets another name (``newTag`` becomes ``digest``).
    """

    document: int
    path: tuple[str | int, ...]
    parent: yaml.MappingNode
    value: yaml.ScalarNode | None
    missing: tuple[str, ...] = ()
    rename: yaml.ScalarNode | None = None

    @property
    def node(self) -> yaml.ScalarNode:
        """The value's node."""
        if self.value is None:
            raise AssertionError  # asked for where nothing is missing
        return self.value

    @property
    def shown(self) -> str:
        """The place as a person writes it."""
        return ".".join(str(part) for part in self.path)

    def put(self, text: str, value: str) -> str:
        """Return the text with the value in this place."""
        if self.missing:
            return _insert(text, self.parent, self.missing, value)
        text = _replace(text, self.node, value)
        if self.rename is None:
            return text
        return text[: self.rename.start_mark.index] + "digest" + text[self.rename.end_mark.index :]


def _place(text: str, key: str | None, repository: str) -> _Place:
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark")
    documents = _documents(text)
    if key is None:
        found = [place for number, top in documents for place in _kustomization(number, top, repository)]
        if not found:
            msg = f"its images name no {repository}: add an entry with that name"
            raise ValueError(msg)
    else:
        parts = key.split(".")
        found = [_walk(number, top, parts) for number, top in documents]
        there = [place for place in found if not place.missing]
        found = there or (found if len(found) == 1 else [])
        if not found:
            msg = f"none of its {len(documents)} documents has the key {key}"
            raise ValueError(msg)
    if len(found) > 1:
        msg = f"{found[0].shown} stands there {len(found)} times"
        raise ValueError(msg)
    return found[0]


def _documents(text: str) -> list[tuple[int, yaml.MappingNode]]:
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        msg = f"it is no YAML: {' '.join(str(error).split())}"
        raise ValueError(msg) from error
    found = [(number, node) for number, node in enumerate(nodes) if isinstance(node, yaml.MappingNode)]
    if not found:
        raise ValueError("it holds no mapping")
    return found


def _walk(document: int, top: yaml.MappingNode, parts: Sequence[str]) -> _Place:
    parent, path = top, tuple(parts)
    for depth, part in enumerate(path):
        node = _value(parent, part)
        if node is None:
            return _Place(document=document, path=path, parent=parent, value=None, missing=path[depth:])
        if depth == len(path) - 1:
            return _Place(document=document, path=path, parent=parent, value=_scalar(node, ".".join(path)))
        if not isinstance(node, yaml.MappingNode):
            msg = f"{'.'.join(path[: depth + 1])} is no mapping"
            raise ValueError(msg)  # noqa: TRY004 - it is the file's content that is wrong
        parent = node
    raise ValueError("the key is empty")


def _kustomization(document: int, top: yaml.MappingNode, repository: str) -> Iterator[_Place]:
    """Yield the image's entries: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/."""
    images = _value(top, "images")
    for index, entry in enumerate(images.value if isinstance(images, yaml.SequenceNode) else ()):
        if not isinstance(entry, yaml.MappingNode):
            continue
        names = [_value(entry, key) for key in ("newName", "name")]
        name = next((str(node.value) for node in names if isinstance(node, yaml.ScalarNode)), None)
        if name != repository:
            continue
        path = ("images", index, "digest")
        digest, tag = _value(entry, "digest"), _value(entry, "newTag")
        if digest is not None:
            yield _Place(document=document, path=path, parent=entry, value=_scalar(digest, "digest"))
        elif tag is not None:
            key = next(k for k, _ in entry.value if k.value == "newTag")
            empty = yaml.ScalarNode(tag.tag, "", tag.start_mark, tag.end_mark, style=_scalar(tag, "newTag").style)
            yield _Place(document=document, path=path, parent=entry, value=empty, rename=key)
        else:
            yield _Place(document=document, path=path, parent=entry, value=None, missing=("digest",))


def _value(mapping: yaml.MappingNode, key: str) -> yaml.Node | None:
    found = [value for name, value in mapping.value if isinstance(name, yaml.ScalarNode) and name.value == key]
    if len(found) > 1:
        msg = f"the key {key} stands there {len(found)} times"
        raise ValueError(msg)
    return found[0] if found else None


def _scalar(node: yaml.Node, shown: str) -> yaml.ScalarNode:
    if not isinstance(node, yaml.ScalarNode) or node.style in {"|", ">"}:
        msg = f"{shown} is no plain text"
        raise ValueError(msg)
    return node


def _replace(text: str, node: yaml.ScalarNode, value: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if start == end:  # nothing stands behind the colon
        return f"{text[:start]} {value}{text[end:]}"
    quote = node.style or ""
    return f"{text[:start]}{quote}{value}{quote}{text[end:]}"


def _insert(text: str, parent: yaml.MappingNode, missing: Sequence[str], value: str) -> str:
    """Return the text with a new key behind an entry of the mapping that is one line long."""
    line = f"{missing[0]}: {_nested(missing[1:], value)}"
    if parent.flow_style:
        at = parent.value[-1][1].end_mark.index if parent.value else parent.end_mark.index - 1
        return f"{text[:at]}{', ' if parent.value else ''}{line}{text[at:]}"
    ending = "\r\n" if "\r\n" in text else "\n"
    for name, node in reversed(parent.value):
        if isinstance(node, yaml.ScalarNode) and node.start_mark.line == node.end_mark.line == name.start_mark.line:
            at = text.find("\n", node.end_mark.index)
            head, tail = (text + ending, "") if at < 0 else (text[: at + 1], text[at + 1 :])
            return f"{head}{' ' * name.start_mark.column}{line}{ending}{tail}"
    first = parent.value[0][0].start_mark
    begin = first.index - first.column
    if text[begin : first.index].strip():
        raise ValueError("there is no line to put it behind")
    return f"{text[:begin]}{' ' * first.column}{line}{ending}{text[begin:]}"


def _nested(keys: Sequence[str], value: str) -> str:
    for key in reversed(keys):
        value = f"{{{key}: {value}}}"
    return value


def _check(old: str, new: str, place: _Place, value: str) -> None:
    """Make sure that the two differ in this one value, as every reader of YAML sees them."""
    try:
        # Copies: as loaded, a value that aliases share is one object, and would change in all its places.
        before, after = _copy(list(yaml.safe_load_all(old))), list(yaml.safe_load_all(new))
        expected = before[place.document]
        for part in place.path[:-1]:
            expected = expected[part] if not isinstance(expected, dict) else expected.setdefault(part, {})
        if place.rename is not None:
            del expected[place.rename.value]
        expected[place.path[-1]] = value
    except (yaml.YAMLError, KeyError, TypeError) as error:
        msg = f"{place.shown} can't be set without a change of something else"
        raise ValueError(msg) from error
    if before != after:
        msg = f"{place.shown} can't be set alone: another place refers to it (an anchor or a merge)"
        raise ValueError(msg)


def _copy(value: Any, depth: int = 0) -> Any:
    """Return the value with nothing shared; raises ValueError where they nest without end."""
    if depth > _DEEPEST:
        msg = f"it nests more than {_DEEPEST} levels deep"
        raise ValueError(msg)
    if isinstance(value, dict):
        return {key: _copy(each, depth + 1) for key, each in value.items()}
    return [_copy(each, depth + 1) for each in value] if isinstance(value, list) else value
