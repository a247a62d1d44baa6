"""What the cluster did meanwhile: kubectl watches pods and the Rollout from the first line of a cell to its last."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread
from typing import IO, Any

from tests.e2e.oracle import Place

__all__ = ["Step", "Watch"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where the Rollout stood at one moment, of the version that it wanted then."""

    at: datetime
    digest: str
    index: int


@dataclass
class Watch:
    """Follows a namespace until it is stopped; readers see what has come so far.

    Args:
        lows: how many pods were ready, each time that there were fewer than ever since the last ``begin``.
        steps: each change of the Rollout's step since then.
    """

    place: Place
    lows: list[tuple[datetime, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    _ready: dict[str, bool] = field(default_factory=dict)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to follow."""
        for kind, take in (("pods", self._pod), ("rollouts.argoproj.io", self._rollout)):
            where = ("--kubeconfig", self.place.kubeconfig, "--context", "sandbox-prod", "-n", self.place.namespace)
            argv = (self.place.sandbox.binaries["kubectl"], *where, "get", kind)
            process = subprocess.Popen(
                (*argv, "--watch", "--output-watch-events", "-o", "json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._processes.append(process)
            assert process.stdout is not None
            Thread(target=self._follow, args=(process.stdout, take), daemon=True).start()

    def stop(self) -> None:
        """End the watches."""
        for process in self._processes:
            process.kill()
            process.wait()

    @property
    def alive(self) -> bool:
        """Whether both still follow."""
        return all(process.poll() is None for process in self._processes)

    @property
    def ready(self) -> int:
        """How many pods are ready now."""
        return sum(self._ready.values())

    def begin(self) -> None:
        """A cell begins: forget what was before."""
        self.lows[:] = [(datetime.now(UTC), self.ready)]
        self.steps.clear()

    def _follow(self, stream: IO[bytes], take: Any) -> None:
        with stream:
            for event in _objects(stream):
                take(event["type"], event["object"])

    def _pod(self, kind: str, pod: Any) -> None:
        name, metadata = pod["metadata"]["name"], pod["metadata"]
        conditions = pod.get("status", {}).get("conditions", ())
        ready = any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)
        self._ready[name] = ready and "deletionTimestamp" not in metadata and kind != "DELETED"
        if self.lows and self.ready < self.lows[-1][1]:
            self.lows.append((datetime.now(UTC), self.ready))
        if kind == "DELETED":
            del self._ready[name]

    def _rollout(self, kind: str, rollout: Any) -> None:
        status = rollout.get("status", {})
        if kind == "DELETED" or status.get("observedGeneration") != str(rollout["metadata"]["generation"]):
            return
        digest = rollout["spec"]["template"]["spec"]["containers"][0]["image"].partition("@")[2]
        seen = Step(at=datetime.now(UTC), digest=digest, index=status.get("currentStepIndex") or 0)
        if not self.steps or (self.steps[-1].digest, self.steps[-1].index) != (seen.digest, seen.index):
            self.steps.append(seen)


def _objects(stream: IO[bytes]) -> Iterator[Any]:
    """Yield each JSON object of a stream that writes one after the other, as soon as it is whole."""
    decoder, pending = json.JSONDecoder(), ""
    while chunk := stream.read1(1 << 20):  # type: ignore[attr-defined]  # a pipe of Popen is a BufferedReader
        pending += chunk.decode()
        while pending := pending.lstrip():
            try:
                found, end = decoder.raw_decode(pending)
            except ValueError:
                break
            yield found
            pending = pending[end:]
