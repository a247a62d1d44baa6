"""Build the pinned real parts that the sandbox runs, into a cache outside the checkout."""

import argparse
import collections
import json
import os
import signal
import sys
import time
from types import FrameType

import parts
import recipes

HEARTBEAT_S = 20
TAIL_LINES = 30
EXAMPLE = """\
example:
  python toolchain/build.py sandbox        build what the local stack needs
  python toolchain/build.py --json etcd    build etcd, then print where it is
  python toolchain/build.py --list         show parts, versions and what is cached
"""


class Progress:
    """Tells on stderr which part is at work and for how long."""

    def __init__(self, label: str) -> None:
        """Start the clock of one part; `label` leads each of its lines."""
        self.label = label
        self.begun = self.spoken = time.monotonic()
        self.live = sys.stderr.isatty()

    def elapsed(self) -> str:
        """Return the time since the start, such as "83 s"."""
        return f"{time.monotonic() - self.begun:.0f} s"

    def tick(self, doing: str = "building") -> None:
        """Show that it still goes on: in place on a terminal, else one line now and then."""
        now = time.monotonic()
        if self.live:
            print(f"\r{self.label} {doing}, {self.elapsed()} ", end="", file=sys.stderr, flush=True)
        elif now - self.spoken >= HEARTBEAT_S:
            self.spoken = now
            self.say(f"{doing}, {self.elapsed()}")

    def say(self, text: str) -> None:
        """Print one line that stays."""
        start, end = ("\r", "\033[K") if self.live else ("", "")
        print(f"{start}{self.label} {text}{end}", file=sys.stderr, flush=True)


def ensure(part: parts.Part, count: str = "") -> None:
    """Have the part in the cache, building it at most once however many calls run.

    Raises:
        BuildError: the build failed; its log's tail has been printed.
    """
    if part.ready():
        return
    path = os.environ.get("PATH", os.defpath)
    if recipes.needs_go(part):
        ensure(go := parts.load()["go"])
        path = f"{go.home / 'bin'}{os.pathsep}{path}"
    progress = Progress(f"{count}{part.name} {part.version}:")
    log = part.log
    with parts.locked(part.home.parent, lambda: progress.tick("waiting for another call's build")):
        if part.ready():
            progress.say(f"built by another call, {progress.elapsed()}")
            return
        progress.say(f"building, log in {log}")
        log.write_text("", "utf-8")
        try:
            with parts.staging(part) as new:
                recipes.build(part, new, recipes.Runner(log, progress.tick, path))
        except recipes.BuildError as error:
            progress.say(f"failed after {progress.elapsed()}: {error}")
            with log.open(encoding="utf-8", errors="replace") as lines:
                for line in collections.deque(lines, TAIL_LINES):
                    print(f"    {line.rstrip()}", file=sys.stderr)
            progress.say(f"the whole log is in {log}")
            raise
    progress.say(f"done, {progress.elapsed()}")


def listing() -> str:
    """Return one line per part: name, version, state, binaries."""
    rows = [
        (part.name, part.version, "cached" if part.ready() else "-", " ".join(part.binaries))
        for part in parts.load().values()
    ]
    return "\n".join(f"{n:<14} {v:<8} {state:<7} {binaries}" for n, v, state, binaries in rows)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 1 when a build failed, 2 for misuse."""
    signal.signal(signal.SIGTERM, _terminated)
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join([*parts.load(), *parts.pins()["groups"], "all"])
    parser.add_argument("target", nargs="*", help=f"part or group (default: sandbox): {names}")
    parser.add_argument("--json", action="store_true", help="print the targets' paths as JSON")
    parser.add_argument("--list", action="store_true", help="show the parts and build nothing")
    parser.add_argument("--clean", action="store_true", help="remove builds of pins now replaced")
    args = parser.parse_args(argv)
    if args.list:
        print(listing())
        return 0
    if args.clean:
        for folder in parts.clean():
            print(f"removed {folder}", file=sys.stderr)
        return 0
    try:
        chosen = parts.select(args.target or ["sandbox"])
    except ValueError as error:
        parser.error(str(error))
    for number, part in enumerate(chosen, 1):
        try:
            ensure(part, f"[{number}/{len(chosen)}] ")
        except recipes.BuildError:
            return 1
        parts.write_current()
    print(f"ready: {', '.join(part.name for part in chosen)}", file=sys.stderr)
    if args.json:
        paths = [part.binaries | part.folders for part in chosen]
        print(json.dumps({name: path for one in paths for name, path in one.items()}, indent=2))
    return 0


def _terminated(number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into an exception, so that children are ended and partial output removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted; nothing partial is left", file=sys.stderr)
        sys.exit(130)
