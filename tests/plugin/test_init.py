"""What ``init`` writes for three kinds of repository is rehearsed, green at once; GitOps deploys without a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.init.test_init import APPLICATION, DEPLOYMENT, repository

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "2" * 64


def run(folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command there, on a machine without a kubeconfig."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder.parent / "home"), **env}
    return subprocess.run(argv, cwd=folder, env=variables, capture_output=True, text=True, timeout=90, check=False)


def initialised(folder: Path) -> list[str]:
    """Call ``pytest-deploy init`` and return the features that it wrote."""
    done = run(folder, str(Path(sys.executable).with_name("pytest-deploy")), "init")
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(str(path.relative_to(folder)) for path in (folder / "features").glob("*.feature"))


def rehearsed(folder: Path, feature: str) -> str:
    """Rehearse a feature and return its last line."""
    done = run(folder, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", feature, "--rehearse")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_a_canary_chart(tmp_path: Path) -> None:
    """The demo chart: its canary is rehearsed to the end."""
    folder = tmp_path / "checkout-api"
    shutil.copytree(ROOT / "charts", folder / "charts")
    (folder / "Makefile").write_text("test:\n\ttrue\n")
    (folder / "CODEOWNERS").write_text("* @acme/sre\n")
    assert initialised(folder) == ["features/prod_canary.feature", "features/release_candidate.feature"]
    assert "COMMITTED" in rehearsed(folder, "features/prod_canary.feature")
    assert "PASSED" in rehearsed(folder, "features/release_candidate.feature")


def test_a_plain_deployment(tmp_path: Path) -> None:
    """A chart with a Deployment: the canary that its suggested Rollout would have is rehearsed."""
    folder = repository(tmp_path / "pay", DEPLOYMENT)
    assert initialised(folder) == ["features/prod_canary.feature", "features/release_candidate.feature"]
    assert "COMMITTED" in rehearsed(folder, "features/prod_canary.feature")
    assert "PASSED" in rehearsed(folder, "features/release_candidate.feature")


def test_argo_cd(tmp_path: Path) -> None:
    """A repository with Applications: both commits are rehearsed, and the canary's own step would be refused."""
    applications = {
        f"argocd/{env}.yaml": APPLICATION.format(env=env, repo="https://github.com/acme/environments.git")
        for env in ("staging", "prod")
    }
    folder = repository(tmp_path / "pay", **applications, **{".github/CODEOWNERS": "* @acme/sre\n"})
    assert initialised(folder) == ["features/prod_gitops.feature", "features/staging_gitops.feature"]
    for feature in ("features/staging_gitops.feature", "features/prod_gitops.feature"):
        assert "PASSED" in rehearsed(folder, feature)
    (folder / "features" / "wrong.feature").write_text(
        '@deploy\nFeature: f\n  Scenario: s\n    Given the release "pay" of deploy.yaml, bound for "prod"\n'
        "    And the stack is one that this deploy supports\n"
    )
    done = run(folder, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "features/wrong.feature", "--rehearse")
    assert done.returncode == 4
    assert "gitops.environments.prod" in done.stdout


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """An environment repository where staging has the new digest and production an old one."""
    bare, copy = tmp_path / "environments.git", tmp_path / "copy"
    identity = {f"GIT_{role}_{part}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    for argv in (("init", "-q", "--bare", "-b", "release", str(bare)), ("clone", "-q", str(bare), str(copy))):
        assert run(tmp_path, "git", *argv).returncode == 0
    for env, digest in (("staging", DIGEST), ("prod", "sha256:" + "1" * 64)):
        (copy / "env" / env).mkdir(parents=True)
        (copy / "env" / env / "values.yaml").write_text(f"# {env}\nimage:\n  digest: {digest} # pinned\n")
    for argv in (("add", "-A"), ("commit", "-q", "-m", "x"), ("push", "-q", "origin", "HEAD:release")):
        assert run(copy, "git", *argv, **identity).returncode == 0
    return bare


def test_a_commit_for_real(tmp_path: Path, environments: Path) -> None:
    """A real deploy by GitOps needs no cluster: exit 0, one value on a branch of its own, and the note says where."""
    applications = {
        f"argocd/{env}.yaml": APPLICATION.format(env=env, repo=f"file://{environments}") for env in ("staging", "prod")
    }
    folder = repository(tmp_path / "pay", **applications)
    initialised(folder)
    argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "features/prod_gitops.feature")
    image = f"image=registry.acme.example:5000/shop/pay@{DIGEST}"
    done = run(folder, *argv, "--deploy-set", image, CI="true")
    assert done.returncode == 0, done.stdout + done.stderr
    branch = f"deploy/pay-prod-{'2' * 12}"
    shown = run(environments, "git", "show", f"{branch}:env/prod/values.yaml").stdout
    assert shown == f"# prod\nimage:\n  digest: {DIGEST} # pinned\n"
    note = (folder / "reports" / "latest" / "deploy-note.md").read_text("utf-8")
    assert branch in note
    assert "your GitOps controller" in note
    again = run(folder, *argv, "--deploy-set", image, CI="true")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "is there already" in again.stdout
