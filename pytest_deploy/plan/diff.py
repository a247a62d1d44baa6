"""How the manifests of an upgrade differ from those that are live, object by object."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain.tree import at, items

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.plan.mask import Masker

__all__ = ["Change", "Kind", "changes", "is_hook", "objects"]

Manifest = Mapping[str, "Json"]


class Kind(StrEnum):
    """What becomes of an object."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    KEPT = "no longer the release's, and kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that is not what it was.

    Args:
        name: ``KIND/NAME``; with the namespace before the name, where it is not the release's.
        diff: the lines of a unified diff, its heads included.
    """

    name: str
    kind: Kind
    diff: tuple[str, ...]


def objects(manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield the objects that the manifests are: those of a ``List`` one by one, Helm's hooks left out.

    A hook is no part of what Helm keeps as a release's manifest, so there is nothing live to compare it with.
    """
    for manifest in manifests:
        if str(manifest.get("kind")).endswith("List") and "items" in manifest:
            yield from objects([each for each in items(manifest["items"]) if isinstance(each, Mapping)])
        elif not is_hook(manifest):
            yield manifest


def is_hook(manifest: Manifest) -> bool:
    """Whether Helm runs it before or after an operation, and does not keep it."""
    return at(manifest, "metadata", "annotations", "helm.sh/hook") is not None


def changes(live: Sequence[Manifest], planned: Sequence[Manifest], mask: Masker, *, namespace: str) -> Iterator[Change]:
    """Yield each object that differs, in the chart's order, and then those that go away.

    Compared is what the manifests say; shown is what the mask leaves of it, so no change is lost by masking.

    Args:
        namespace: of the release: an object that names it is the same one as an object that names none.
    """
    before, after = ({_name(each, namespace): each for each in objects(side)} for side in (live, planned))
    for name, new in after.items():
        old = before.get(name)
        if old is None or old != new:
            yield _change(name, Kind.NEW if old is None else Kind.CHANGED, old, new, mask)
    for name, old in before.items():
        if name not in after:
            keeps = at(old, "metadata", "annotations", "helm.sh/resource-policy") == "keep"
            yield _change(name, Kind.KEPT if keeps else Kind.REMOVED, old, None, mask)


def _change(name: str, kind: Kind, old: Manifest | None, new: Manifest | None, mask: Masker) -> Change:
    shown = mask(name)
    heads = ("nothing" if old is None else f"live {shown}", "nothing" if new is None else f"planned {shown}")
    before, after = ([] if one is None else _text(mask.manifest(one, other)) for one, other in ((old, new), (new, old)))
    lines = tuple(difflib.unified_diff(before, after, *heads, lineterm=""))
    return Change(name=shown, kind=kind, diff=lines or ("(it differs only in what is masked)",))


def _name(manifest: Manifest, namespace: str) -> str:
    space, name = at(manifest, "metadata", "namespace"), at(manifest, "metadata", "name")
    return f"{manifest.get('kind')}/{f'{space}/' if space not in {None, namespace} else ''}{name}"


def _text(manifest: Json) -> list[str]:
    """Return the lines of its YAML, keys sorted, so that their order is no difference."""
    import yaml

    dumped: str = yaml.dump(manifest, Dumper=_dumper(), allow_unicode=True, width=10_000)
    return dumped.splitlines()


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the base is looked up
        def ignore_aliases(self, data: object) -> bool:
            """Write out what stands in two places."""
            del data
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return Dumper
