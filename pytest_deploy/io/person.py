"""Who runs this process, as far as its environment says so."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["name", "who"]

_NAMES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME")
_RUNS = ("CI_JOB_URL", "BUILD_URL")
"""GitLab's and Jenkins' address of the run:
https://docs.gitlab.com/ci/variables/predefined_variables/,
https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables."""


def name(environ: Mapping[str, str]) -> str:
    """Return the person's name; "" where nothing says it. Nobody has checked it: it is what they call themselves."""
    return next((environ[key] for key in _NAMES if environ.get(key)), "")


def who(environ: Mapping[str, str]) -> str:
    """Return the person and the CI run's address, or the machine: ``ann at https://github.com/...``."""
    where = next((environ[key] for key in _RUNS if environ.get(key)), os.uname().nodename)
    if environ.get("GITHUB_RUN_ID"):
        # https://docs.github.com/en/actions/reference/workflows-and-actions/variables
        parts = (environ.get(f"GITHUB_{part}", "?") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
        where = "{}/{}/actions/runs/{}".format(*parts)
    return f"{name(environ) or 'somebody'} at {where}"
