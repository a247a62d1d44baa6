"""Build the image of pytest-deploy as an OCI archive, without a container engine.

The root file system is made of Debian packages (python3 with what it needs, a shell, certificates), the wheels of
requirements.lock, this package, and the toolchain's Helm and kubectl. Nothing in it comes from this machine's own
Python. It needs apt-get and dpkg-deb (Debian 12, any user) and what `make toolchain` has built.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement

from pytest_deploy.sandbox.oci import Image, write_image
from pytest_deploy.sandbox.tools import cache_folder, toolbox

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
DEBIAN = ("python3-minimal", "libpython3-stdlib", "dash", "coreutils", "grep", "sed", "ca-certificates")
PYTHON = "3.11"
"""Debian 12's; the wheels are made for it."""
EXTRA = "cloudwatch"
PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
USER = "65532"
TOOLS = ("helm3", "helm4", "kubectl")
WITHOUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/lib/python3.11/test")
PACKAGES = "usr/lib/python3/dist-packages"
IMPORTS = "import pytest_deploy.cli, pytest_deploy.plugin, kubernetes.config, httpx2, pydantic, jinja2, gherkin, boto3"
ENTRY = """#!/usr/bin/python3
from pytest_deploy.cli import main

main()
"""


def run(*argv: str, env: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only where it failed.

    Raises:
        SystemExit: it could not be started, or failed.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    except FileNotFoundError:
        sys.exit(f"{argv[0]} is not here: the image is made of Debian packages, on a Debian machine")
    if done.returncode:
        sys.exit(f"{' '.join(argv[:3])} ... ended with status {done.returncode}:\n{done.stdout}{done.stderr}")


def debian(root: Path) -> None:
    """Unpack the Debian packages and all that they need; apt picks them as for an empty machine."""
    archives = cache_folder() / "image" / "debs"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile() as nothing:
        options = (
            f"Dir::State::status={nothing.name}",
            f"Dir::Cache::archives={archives}",
            "Debug::NoLocking=1",
            "APT::Sandbox::User=root" if os.geteuid() == 0 else "APT::Get::Show-User-Simulation-Note=false",
        )
        flags = [word for option in options for word in ("-o", option)]
        run("apt-get", *flags, "install", "--yes", "--no-install-recommends", "--download-only", *DEBIAN)
        listed = subprocess.run(
            ("apt-get", *flags, "install", "--yes", "--no-install-recommends", "--simulate", *DEBIAN),
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    for name, number in re.findall(r"^Inst (\S+) \((\S+) ", listed, re.MULTILINE):
        found = sorted(archives.glob(f"{name.partition(':')[0]}_{number.replace(':', '%3a')}_*.deb"))
        if not found:
            sys.exit(f"apt-get fetched no {name} {number}: run apt-get update, then again")
        run("dpkg-deb", "--extract", str(found[0]), str(root))


def wheels(root: Path) -> None:
    """Install what the package needs, pinned and checked by requirements.lock, and the package itself."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    names = {name for text in asked for name in needed(Requirement(text).name)}
    entries = re.split(r"\n(?=\S)", (REPO / "requirements.lock").read_text("utf-8"))
    chosen = [entry for entry in entries if canonical(re.split(r"[=\[ ]", entry)[0]) in names]
    target = root / PACKAGES
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text("\n".join(chosen) + "\n", "utf-8")
        pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--target", str(target))
        platforms = [word for name in PLATFORMS for word in ("--platform", name)]
        run(
            *pip, "--require-hashes", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON,
            *platforms, "--requirement", str(pinned),
        )  # fmt: skip
        run(*pip, "--no-build-isolation", str(REPO))
    shutil.rmtree(target / "bin", ignore_errors=True)


def needed(name: str, extras: Collection[str] = (), seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a distribution and all that it needs on the image's platform, as this environment has them installed."""
    yield canonical(name)
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:
        return  # of another platform; what is really missing fails the check that the image starts
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        python = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2"}
        worlds = ({**python, "extra": extra} for extra in ("", *extras))
        wanted = marker is None or any(map(marker.evaluate, worlds))
        if wanted and canonical(requirement.name) not in seen:
            yield from needed(requirement.name, requirement.extras, seen | {canonical(name)})


def canonical(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def settle(root: Path) -> None:
    """Do what the packages' scripts would do, make the entry point, and compile with the image's own python."""
    for name in WITHOUT:
        shutil.rmtree(root / name, ignore_errors=True)
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle.write_text("".join(path.read_text("utf-8") for path in authorities), "utf-8")
    (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\ndeploy:x:{USER}:{USER}::/work:/bin/sh\n", "utf-8")
    (root / "etc/group").write_text(f"root:x:0:\ndeploy:x:{USER}:\n", "utf-8")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n", "utf-8")
    (root / "work").mkdir()
    entry = root / "usr/local/bin/pytest-deploy"
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(ENTRY, "utf-8")
    entry.chmod(0o755)
    entry.with_name("helm").symlink_to("helm3")
    libraries = [f"{root}/{folder}/x86_64-linux-gnu" for folder in ("lib", "usr/lib")]
    python = (
        str(next(root.glob("lib*/ld-linux-x86-64.so.2"))), "--library-path", ":".join(libraries),
        str(root / "usr/bin" / f"python{PYTHON}"),
    )  # fmt: skip
    inside = {"PYTHONHOME": f"{root}/usr", "PATH": os.defpath, "PYTHONPATH": f"{root}/{PACKAGES}"}
    # The archive keeps no times, so nothing may be compared with them.
    compiled = ("-m", "compileall", "-q", "-s", str(root), "-p", "/", "--invalidation-mode", "unchecked-hash")
    run(*python, *compiled, str(root / PACKAGES), str(root / f"usr/lib/python{PYTHON}"), env=inside)
    run(*python, "-B", "-c", IMPORTS, env=inside)


def main() -> None:
    """Build the archive and print where it is and its digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default=f"pytest-deploy.local/pytest-deploy:{version('pytest-deploy')}")
    parser.add_argument("--output", type=Path, default=REPO / "build" / "pytest-deploy.oci.tar")
    given = parser.parse_args()
    tools = toolbox()
    programs = {f"/usr/local/bin/{name}": Path(tools.need(name)) for name in TOOLS}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for step in (debian, wheels, settle):
            print(f"image: {step.__name__}", file=sys.stderr)
            step(root)
        image = Image(
            name=given.name,
            entrypoint=("/usr/bin/python3", "-P", "/usr/local/bin/pytest-deploy"),
            user=f"{USER}:{USER}",
            env=("PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/work", "LANG=C.UTF-8"),
            folder="/work",
            labels={"org.opencontainers.image.version": version("pytest-deploy")},
        )
        digest = write_image(given.output, image, programs, root=root)
    size = given.output.stat().st_size
    print(json.dumps({"archive": str(given.output), "name": given.name, "digest": digest, "bytes": size}))


if __name__ == "__main__":
    main()
