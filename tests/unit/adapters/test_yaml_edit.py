"""The digest in a YAML file: what is changed, what is kept, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.adapters.yaml_edit import digest_at, with_digest

REPO = "ghcr.io/acme/api"
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64

VALUES = f"""\
# Values of production.  Two  blanks are kept.
replicaCount: 20   # twenty, so that 5 % is one pod

image:
    repository: {REPO}
    digest: "{OLD}"   # set by the deploy
    pullPolicy:   IfNotPresent
env: {{A: 'x', B: "y"}}
list:
  - one
  -   two
"""


def put(text: str, key: str | None = "image.digest") -> str:
    """Set the new digest."""
    return with_digest(text, key, REPO, NEW)


def test_only_the_digest_changes() -> None:
    """Comments, quotes, blanks and order stay as they are, byte for byte."""
    assert put(VALUES) == VALUES.replace(OLD, NEW)
    assert digest_at(put(VALUES), "image.digest", REPO) == NEW


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image:\n  digest:\n", f"image:\n  digest: {NEW}\n"),
        ("image:\n  digest:  # none yet\n", f"image:\n  digest: {NEW}  # none yet\n"),
        ("image: {digest: ''}\n", f"image: {{digest: '{NEW}'}}\n"),
        ("image: {repository: x, tag: v1}", f"image: {{repository: x, tag: v1, digest: {NEW}}}"),
        ("image: {}\n", f"image: {{digest: {NEW}}}\n"),
        ("image:\n  tag: v1 # old\nb: 1\n", f"image:\n  tag: v1 # old\n  digest: {NEW}\nb: 1\n"),
        ("image:\n  tag: v1", f"image:\n  tag: v1\n  digest: {NEW}\n"),
        ("image:\r\n  tag: v1\r\n", f"image:\r\n  tag: v1\r\n  digest: {NEW}\r\n"),
        ("image:\n  env:\n    - a\n", f"image:\n  digest: {NEW}\n  env:\n    - a\n"),
        ("a: 1\n", f"a: 1\nimage: {{digest: {NEW}}}\n"),
        (f"image:\n  digest: {REPO}:v1\n", f"image:\n  digest: {REPO}@{NEW}\n"),
        (f"image:\n  digest: '{REPO}@{OLD}'\n", f"image:\n  digest: '{REPO}@{NEW}'\n"),
        (f"kind: A\n---\nimage:\n  digest: {OLD}\n", f"kind: A\n---\nimage:\n  digest: {NEW}\n"),
    ],
)
def test_every_way_to_write_it(before: str, after: str) -> None:
    """Empty, quoted, in braces, missing, a whole image, a second document: each is set in the file's own style."""
    assert put(before) == after


def test_a_kustomization_gets_a_digest_for_its_tag() -> None:
    """An entry of ``images`` is found by newName, else name; a tag gives way to the digest."""
    tagged = f"images:\n  - name: other\n    newTag: v9\n  - name: {REPO}\n    newTag: v1 # here\n"
    assert put(tagged, None) == tagged.replace("newTag: v1", f"digest: {NEW}")
    pinned = f"images:\n- name: api\n  newName: {REPO}\n  digest: {OLD}\n"
    assert put(pinned, None) == pinned.replace(OLD, NEW)
    bare = f"images:\n- name: {REPO}\nresources: [a.yaml]\n"
    assert put(bare, None) == f"images:\n- name: {REPO}\n  digest: {NEW}\nresources: [a.yaml]\n"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("a: [", "a.b", "it is no YAML"),
        ("- a\n", "a", "it holds no mapping"),
        ("", "a", "it holds no mapping"),
        ("image: v1\n", "image.digest", "image is no mapping"),
        ("image:\n  digest: other/app:v1\n", "image.digest", "neither a digest nor an image"),
        (f"image:\n  digest: {REPO}x:v1\n", "image.digest", "neither a digest nor an image"),
        (f"image:\n  digest: {OLD}\n  digest: {OLD}\n", "image.digest", "stands there 2 times"),
        (f"image: {{digest: {OLD}}}\n---\nimage: {{digest: {OLD}}}\n", "image.digest", "stands there 2 times"),
        ("a: 1\n---\nb: 1\n", "image.digest", "none of its 2 documents"),
        ("image:\n  digest: |\n    x\n", "image.digest", "is no plain text"),
        (f"base: &b {{digest: {OLD}}}\nimage: *b\n", "image.digest", "another place refers to it"),
        (f"image:\n  digest: &d {OLD}\nother: *d\n", "image.digest", "change of something else"),
        ("\ufeffa: 1\n", "a", "byte order mark"),
        ("images: []\n", None, f"name no {REPO}"),
    ],
)
def test_what_is_refused(text: str, key: str | None, words: str) -> None:
    """What can't be set alone, or is not ours, is refused in words."""
    with pytest.raises(ValueError, match=r".") as caught:
        put(text, key)
    assert words in str(caught.value)


_NAMES = st.sampled_from(["a", "b", "image", "digest", "tag"])
_TREES = st.recursive(
    st.sampled_from(["", OLD, "x", 1, True, "a: b # c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)


@given(tree=st.dictionaries(_NAMES, _TREES, min_size=1, max_size=4), flow=st.sampled_from([True, False, None]))
def test_nothing_else_ever_changes(tree: dict[str, object], flow: bool | None) -> None:
    """Whatever a file holds, as a reader sees it only this value differs, or the file is refused."""
    import yaml

    text = yaml.safe_dump(tree, default_flow_style=flow)
    try:
        changed = put(text)
    except ValueError:
        return
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    assert after["image"].pop("digest") == NEW
    image = before.setdefault("image", {})
    image.pop("digest", None)
    assert before == after
