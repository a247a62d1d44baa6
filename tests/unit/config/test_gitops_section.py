"""What deploy.yaml may say of an environment repository."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pytest_deploy.config.gitops_section import GitOpsSection


def section(**changed: Any) -> GitOpsSection:
    """The section with one environment."""
    given = {"environments": {"prod": {"file": "apps/api/values.yaml"}}} | changed
    return GitOpsSection.model_validate(given)


def test_defaults() -> None:
    """A pull request from main, by nobody in person; the key follows from the kind of file."""
    made = section()
    assert (made.branch, made.pull_request, made.repository, made.token) == ("main", True, None, None)
    assert made.environments["prod"].place == ("apps/api/values.yaml", "image.digest")
    overlay = section(environments={"prod": {"file": "overlays/prod/kustomization.yaml"}})
    assert overlay.environments["prod"].place == ("overlays/prod/kustomization.yaml", None)
    named = section(environments={"prod": {"file": "a.yaml", "key": "spec.values.image.digest"}})
    assert named.environments["prod"].place == ("a.yaml", "spec.values.image.digest")


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/acme/env.git",
        "https://git.acme.example:8443/acme/env",
        "git@github.com:acme/env.git",
        "ssh://git@github.com/acme/env.git",
        "file:///srv/env.git",
    ],
)
def test_addresses(repository: str) -> None:
    """Every usual way to write an address is taken."""
    assert section(repository=repository).repository == repository


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"repository": "https://me:secret@github.com/acme/env.git"}, "user name or a password"),
        ({"repository": "--upload-pack=touch x"}, "is no repository"),
        ({"repository": "ext::sh -c x"}, "is no repository"),
        ({"branch": "-f"}, "no name of a branch"),
        ({"branch": "a..b"}, "no name of a branch"),
        ({"author": "nobody"}, "Name <address@host>"),
        ({"token": "ghp_written_out"}, "must be named"),
        ({"environments": {}}, "at least 1"),
        ({"environments": {"prod": {"file": "/etc/x.yaml"}}}, "without .."),
        ({"environments": {"prod": {"file": "../x.yaml"}}}, "without .."),
        ({"environments": {"prod": {"file": "-x.yaml"}}}, "without .."),
        ({"environments": {"prod": {"file": "Makefile"}}}, "no YAML file"),
        ({"environments": {"prod": {"file": "a.yaml", "key": "a..b"}}}, "is no key"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], words: str) -> None:
    """What would be an option, another protocol, a secret or a way out of the repository is refused."""
    with pytest.raises(ValidationError) as caught:
        section(**changed)
    assert words in str(caught.value)
    assert "secret@" not in "".join(error["msg"] for error in caught.value.errors())
