"""Image references and digests: only what can be pinned is accepted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_deploy.domain.release import ImageRef, parse_digest

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("ghcr.io/acme/app", "ghcr.io/acme/app", None, None),
        ("localhost:5000/app", "localhost:5000/app", None, None),
        ("localhost:5000/app:v1.2", "localhost:5000/app", "v1.2", None),
        (f"app@{DIGEST}", "app", None, DIGEST),
        (f"app:v1@{DIGEST}", "app", "v1", DIGEST),
    ],
)
def test_image_references(text: str, repository: str, tag: str | None, digest: str | None) -> None:
    """A reference is taken apart, and shows as it was written."""
    image = ImageRef.parse(text)
    assert (image.repository, image.tag, image.digest) == (repository, tag, digest)
    assert str(image) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app:latest", "'latest' says nothing"),
        ("App", "is no image reference"),
        ("", "is no image reference"),
        ("app@sha256:12", "is no digest"),
        ("app@", "is no digest"),
    ],
)
def test_refused_images(text: str, said: str) -> None:
    """What can't be pinned is refused."""
    with pytest.raises(ValueError, match=said):
        ImageRef.parse(text)


def test_pinned_needs_a_digest() -> None:
    """Only a digest pins; a tag is left out of the pinned form."""
    image = ImageRef.parse("app:v1")
    with pytest.raises(ValueError, match="app:v1 is not pinned"):
        _ = image.pinned
    assert image.with_digest(parse_digest(DIGEST)).pinned == f"app@{DIGEST}"


@pytest.mark.parametrize("module", ["quantity", "release", "slo"])
def test_domain_is_standard_library_only(module: str) -> None:
    """The domain drags in no package that is installed beside it."""
    code = (
        f"import sys, pytest_deploy.domain.{module}\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _with_path(code)], capture_output=True, text=True, check=True
    )
    assert set(found.stdout.split()) <= {"__main__", "pytest_deploy"}


def _with_path(code: str) -> str:
    return f"import sys; sys.path.insert(0, {_root()!r})\n{code}"


def _root() -> str:
    import pytest_deploy

    return str(next(iter(pytest_deploy.__path__)).rpartition("/")[0])
