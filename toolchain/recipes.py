"""Recipes: how a part is built into an empty folder."""

import contextlib
import functools
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import parts

# Fixed, so that a user's settings neither edit go.mod nor change the binaries. GOFLAGS is not
# empty because go would then read the one of `go env -w`.
GO_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOOS": "", "GOARCH": ""}
GO_BUILD = ("go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags")


class BuildError(Exception):
    """A part could not be built; the text says why and what to do."""


class Runner:
    """Runs the commands of one build, their output appended to one log file."""

    def __init__(self, log: Path, tick: Callable[[], None], path: str) -> None:
        """Log to `log`, call `tick` every half second, look commands up on `path`."""
        self.log = log
        self.tick = tick
        self.env = {**os.environ, "PATH": path, **GO_ENV}

    def __call__(self, *argv: str, cwd: Path | None = None) -> str:
        """Run a command to its end and return its output, which is in the log too.

        Raises:
            BuildError: it could not be started, or its exit status is not 0.
        """
        with self.log.open("a+", encoding="utf-8", errors="replace") as log:
            log.write(f"$ {' '.join(argv)}\n")
            log.flush()
            start = log.tell()
            program = shutil.which(argv[0], path=self.env["PATH"]) or argv[0]
            try:
                # A session of its own, so that one signal ends go and all that go started.
                child = subprocess.Popen(
                    (program, *argv[1:]), cwd=cwd, env=self.env, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise BuildError(f"cannot start {argv[0]}: {error}") from error
            try:
                status = _wait(child, self.tick)
            except BaseException:
                _end(child)
                raise
            log.seek(start)
            output = log.read()
        if status:
            raise BuildError(f"{' '.join(argv[:3])} ... ended with exit status {status}")
        return output


def _wait(child: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            tick()


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)


def build(part: parts.Part, folder: Path, run: Runner) -> None:
    """Build a part into `folder` and prove that each binary starts and is the pinned version.

    Raises:
        BuildError: a command failed, a file is missing or cannot be written, or a binary prints
            another version.
    """
    recipe = _from_module if "go" in part.table else _from_wheel
    try:
        recipe(part, folder, run)
    except (OSError, KeyError) as error:  # KeyError: an archive lacks the member
        raise BuildError(str(error)) from error
    for name in part.binaries:
        printed = run(str(folder / "bin" / name), *part.table.get("probe", ("--version",)))
        if not re.search(rf"(?<![\d.]){re.escape(part.version)}(?![\d.])", printed):
            raise BuildError(f"{name} should be {part.version} but prints {printed.strip()!r}")


def _from_module(part: parts.Part, folder: Path, run: Runner) -> None:
    variables = [f"-X {name}={value}" for name, value in part.table.get("set", {}).items()]
    flags = " ".join(["-s", "-w", *variables])
    for name, package in part.table["go"].items():
        run(*GO_BUILD, flags, "-o", str(folder / "bin" / name), package, cwd=part.module)
    for module, pattern, to in part.table.get("share", {}).values():
        listed = run("go", "list", "-m", "-f", "{{.Dir}}", module, cwd=part.module)
        target = folder / to
        target.mkdir(parents=True)
        for source in sorted(Path(listed.strip()).glob(pattern)):
            # copyfile: the module cache is read-only, the copy need not be.
            shutil.copyfile(source, target / source.name)
        if not any(target.iterdir()):
            raise BuildError(f"{module} has no {pattern}")


def _from_wheel(part: parts.Part, folder: Path, run: Runner) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root, pinned = Path(scratch) / "root", Path(scratch) / "requirements.txt"
        pinned.write_text(f"{part.table['wheel']} --hash=sha256:{part.table['sha256']}\n", "utf-8")
        run(
            sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile",
            "--only-binary=:all:", "--require-hashes", "--target", str(root), "-r", str(pinned),
        )  # fmt: skip
        if tree := part.table.get("tree"):
            (root / tree).rename(folder / tree)
        for name, path in part.table["take"].items():
            target = folder / "bin" / name
            if tree:
                target.symlink_to(Path("..") / path)
                continue
            outer, *inner = path.split("!")
            content = (root / outer).read_bytes()
            for member in inner:
                content = _member(content, member)
            target.write_bytes(content)
            target.chmod(0o755)


def _member(archive: bytes, name: str) -> bytes:
    if zipfile.is_zipfile(io.BytesIO(archive)):
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            return zipped.read(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        if file is None:
            raise BuildError(f"{name} in the archive is not a file")
        return file.read()


def needs_go(part: parts.Part) -> bool:
    """Tell whether the part needs a newer go than PATH has: its go.mod names the oldest."""
    if "go" not in part.table:
        return False
    wanted = re.search(r"^go ([\d.]+)$", (part.module / "go.mod").read_text("utf-8"), re.MULTILINE)
    return wanted is None or _go_on_path() < _numbers(wanted[1])


@functools.cache
def _go_on_path() -> tuple[int, ...]:
    if not (program := shutil.which("go")):
        return ()
    # GOTOOLCHAIN=local: the version that is installed, not one that go would fetch.
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    asked = subprocess.run((program, "version"), env=env, capture_output=True, text=True, check=False)
    found = re.search(r"go version go([\d.]+)", asked.stdout)
    return _numbers(found[1]) if found else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.strip(".").split("."))
