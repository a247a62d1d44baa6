"""Every death of a deploy, one after the other on the sandbox: ``python -m tests.e2e.kill_matrix``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from queue import Empty, Queue
from threading import Lock, Thread

from tests.e2e.kill_matrix.cells import HOWS, MUTATIONS, POINTS, Cell, cells, sample
from tests.e2e.kill_matrix.lane import Lane, Result
from tests.e2e.oracle import Sandbox

__all__ = ["main", "run_all", "sandbox"]

_LANES = count(1)
_say = partial(print, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is left of the matrix and print the table; 1 where an end is wrong or a cell was missed."""
    given = _arguments(argv)
    table: Path = given.resume
    seed, done = _read(table, given.seed)
    wanted = [cell for cell in cells(seed) if given.only is None or given.only in cell.name]
    if given.sample:
        wanted = list(sample(wanted, given.sample, seed))
    names = {cell.name for cell in wanted}
    left = [cell for cell in wanted if given.only is not None or cell.name not in done]
    _say(f"seed {seed}: {len(wanted)} cells, {len(left)} to run, table in {table}")
    if left:
        with sandbox() as (found, folder):
            run_all(found, folder, left, lanes=min(given.parallel, len(left)), keep=partial(_keep, table, done))
    shown = {name: result for name, result in done.items() if name in names}
    _show(shown, seed, table)
    return 0 if len(shown) == len(wanted) and all(result.word == "ok" for result in shown.values()) else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.kill_matrix", description=__doc__)
    parser.add_argument("--seed", type=int, help="decides what a cell leaves open; default: 1, or the table's")
    parser.add_argument("--sample", type=int, metavar="N", help="so many cells, by the seed; default: all")
    parser.add_argument(
        "--only", metavar="TEXT", help="cells whose name has this in it, run again where they stand in the table"
    )
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="releases side by side; default: 4")
    parser.add_argument(
        "--resume",
        type=Path,
        default=Path("reports/kill-matrix.jsonl"),
        metavar="FILE",
        help="the table: what stands there is not run again; default: reports/kill-matrix.jsonl",
    )
    return parser.parse_args(argv)


def _read(table: Path, seed: int | None) -> tuple[int, dict[str, Result]]:
    """Return the table's seed and cells; a file of another seed is begun anew."""
    lines = [json.loads(line) for line in table.read_text("utf-8").splitlines()] if table.exists() else []
    if lines and seed in {None, lines[0]["seed"]}:
        return lines[0]["seed"], {line["cell"]: Result(**line) for line in lines[1:]}
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(json.dumps({"seed": seed or 1}) + "\n", "utf-8")
    return seed or 1, {}


def run_all(
    found: Sandbox, folder: Path, left: Sequence[Cell], *, lanes: int, keep: Callable[[Result], None] | None = None
) -> list[Result]:
    """Run the cells on this sandbox, several releases side by side, and return how they ended.

    Args:
        folder: for all files of deploys.
        keep: is told each result as it comes, one at a time.
    """
    queue: Queue[Cell] = Queue()
    for cell in left:
        queue.put(cell)
    results: list[Result] = []
    broken: list[BaseException] = []
    missed: set[str] = set()
    lock = Lock()

    def ended(result: Result) -> None:
        with lock:
            results.append(result)
            if keep is not None:
                keep(result)

    def work() -> None:
        try:
            _cells_of_a_lane(found, folder, queue, missed, ended)
        except BaseException as error:  # noqa: BLE001 - raised below: the other lanes go on
            broken.append(error)

    threads = [Thread(target=work, daemon=True) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return results


def _cells_of_a_lane(
    found: Sandbox, folder: Path, queue: Queue[Cell], missed: set[str], ended: Callable[[Result], None]
) -> None:
    """Run cells until none is left; after one that did not end well, or was not Helm's, comes a new release.

    Args:
        missed: names of those that were missed once, and are in the queue again.
    """
    lane: Lane | None = None
    try:
        while True:
            cell = queue.get_nowait()
            if lane is None:
                name = f"kill-{next(_LANES)}"
                lane = Lane(sandbox=found, namespace=name, folder=folder / name)
                lane.open()
            result = lane.run(cell)
            if result.word == "missed" and cell.name not in missed:
                missed.add(cell.name)  # a gate that had no sample in time ends a deploy before its failpoint
                queue.put(cell)
            else:
                ended(result)
            if result.word != "ok" or not cell.mutation.helm:  # what was patched past Helm is not Helm's any more
                lane.close(keep=bool(result.wrong))
                lane = None
    except Empty:
        pass
    finally:
        if lane is not None:
            lane.close(keep=False)


@contextmanager
def sandbox() -> Iterator[tuple[Sandbox, Path]]:
    """Bring a sandbox up in a cache of its own, which shares only the toolchain with the real one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-deploy"
    toolchain = Path(os.environ.get("PYTEST_DEPLOY_CACHE") or base).absolute() / "toolchain"
    folder = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    (folder / "toolchain").symlink_to(toolchain)
    cli = (str(Path(sys.executable).with_name("pytest-deploy")), "sandbox")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTEST_DEPLOY_CACHE": str(folder)}
    try:
        up = subprocess.run((*cli, "up", "--json"), env=env, capture_output=True, text=True, timeout=120, check=True)
        binaries = json.loads((toolchain / "current.json").read_text("utf-8"))["binaries"]
        yield Sandbox(cache=folder, facts=json.loads(up.stdout), binaries=binaries), folder
    finally:
        subprocess.run((*cli, "down"), env=env, timeout=60, check=True)


def _keep(table: Path, done: dict[str, Result], result: Result) -> None:
    done[result.cell] = result
    with table.open("a", encoding="utf-8") as file:
        file.write(result.as_json() + "\n")
    words = "; ".join(result.wrong) or result.missed
    _say(f"{result.word:6} {result.cell} ({result.took_s:.0f} s) {words}")


def _show(done: dict[str, Result], seed: int, table: Path) -> None:
    _say(f"\n{'':44}" + "".join(f"{how:>10}" for how in HOWS))
    for mutation in MUTATIONS:
        for point in POINTS:
            row = [done.get(f"{mutation.name}/{point}/{how}") for how in HOWS]
            if any(row):
                words = "".join(f"{result.word if result else '-':>10}" for result in row)
                _say(f"{mutation.name:24}{point:20}{words}")
    results = list(done.values())
    wrong = [result for result in results if result.wrong]
    missed = [result for result in results if result.word == "missed"]
    slow = max((result.recover_s for result in results), default=0.0)
    _say(f"\n{len(results)} cells, {len(wrong)} wrong, {len(missed)} missed; slowest recover {slow} s; in {table}")
    for result in (*wrong, *missed):
        _say(f"\n{result.word}: {result.cell}")
        for text in filter(None, (*result.wrong, result.missed, *result.story)):
            _say(f"    {text}")
        _say(f"    again: python -m tests.e2e.kill_matrix --seed {seed} --only '{result.cell}' --resume {table}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the sandbox goes down
    sys.exit(main())
