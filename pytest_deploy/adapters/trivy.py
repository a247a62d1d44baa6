"""Vulnerabilities of an image, looked for by trivy: by digest, in the registry, with nothing of ours in its hands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_deploy.adapters.trivy_ignore import Ignored, read_ignore_file
from pytest_deploy.adapters.trivy_report import SEVERITIES, Finding, Report, Versions, table
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.team_program import last_lines
from pytest_deploy.ports import Attachment, Found

if TYPE_CHECKING:
    from pytest_deploy.ports import Clock

__all__ = ["Trivy"]

_SHOWN = 5
_GRACE_S = 5.0
"""trivy 0.58 does not heed its own --timeout while it waits for a registry's first answer, so ours comes soon after."""
_INHERIT = (
    *DEFAULT_INHERIT,
    # Where registry logins are, and the way to the registry. No TRIVY_*: a variable could lower the severities.
    "DOCKER_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_SLOW_DOWN = re.compile(r"TOOMANYREQUESTS|429 Too Many Requests|toomanyrequests")
_DATABASE = re.compile(r"\bDB error|failed to download vulnerability DB|OCI artifact error|first run", re.IGNORECASE)
_Model = TypeVar("_Model", bound=BaseModel)


class Trivy:
    """The capability ``scan``; its subject is an image by digest, then severities in quotation marks.

    Args:
        binary: a name on PATH, or a path.
        ignore_file: trivy's; each entry must have an expiry date. None: nothing is ignored.
        platforms: of a multi-platform image, all of which are scanned; (): the one that trivy takes.
        db_max_age: past it, a database proves nothing about what was found since.
        db_repository: where the database is taken from; None: trivy's own.
        cache_folder: None: trivy's own, below HOME.
        offline: the database of the cache is used as it is.
        timeout: for one platform.
    """

    def __init__(
        self,
        binary: str = "trivy",
        *,
        clock: Clock,
        ignore_file: Path | None = None,
        platforms: Sequence[str] = (),
        db_max_age: timedelta = timedelta(hours=48),
        db_repository: str | None = None,
        cache_folder: Path | None = None,
        offline: bool = False,
        timeout: timedelta = timedelta(minutes=10),
    ) -> None:
        self._binary = binary
        self._clock = clock
        self._ignore_file = ignore_file
        self._platforms = tuple(platforms)
        self._db_max_age = db_max_age
        self._db_repository = db_repository
        self._cache = ("--cache-dir", str(cache_folder)) if cache_folder else ()
        self._offline = offline
        self._timeout = timeout

    def __call__(self, subject: str) -> Found:
        """Scan the image.

        Raises:
            GateBreach: it has such vulnerabilities, or its distribution gets no security updates any more.
            Refused: the ignore file ignores something for ever.
            ToolMissing, ToolFailed, ToolTimedOut: it could not be scanned; that is never clean.
        """
        pinned, _, severities = subject.partition(" ")
        wanted = re.findall(r'"([^"]+)"', severities)
        if not wanted or not set(wanted) <= set(SEVERITIES):
            raise Refused(f"{severities!r} are no severities of trivy", hint=f"they are: {', '.join(SEVERITIES)}")
        entries = read_ignore_file(self._ignore_file) if self._ignore_file else ()
        logs: list[str] = []
        reports = [self._scan(pinned, wanted, platform, logs) for platform in self._platforms or (None,)]
        updated = self._database(logs)
        evidence = (Attachment("vulnerabilities", table(reports)), Attachment("trivy", "\n".join(logs)))
        self._refuse(pinned, wanted, reports, evidence)
        what = "; ".join(
            f"{r.packages} package{'' if r.packages == 1 else 's'} of {r.system}, {r.platform}" for r in reports
        )
        words = f"no {' or '.join(wanted)} vulnerability in {what} (database of {updated:%Y-%m-%d %H:%M} UTC)"
        ignored = sorted({name for report in reports for name in report.ignored})
        return Found("; ".join([words, *self._ignoring(ignored, entries)]), attachments=evidence)

    def _refuse(
        self, pinned: str, wanted: Sequence[str], reports: Sequence[Report], evidence: tuple[Attachment, ...]
    ) -> None:
        found = list({(f.id, f.package, f.installed): f for r in reports for f in r.findings}.values())
        if found:
            counts = ", ".join(f"{sum(f.severity == s for f in found)} {s}" for s in SEVERITIES if s in wanted)
            more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise GateBreach(
                f"{pinned} has {len(found)} of the vulnerabilities that are not allowed ({counts}): "
                f"{'; '.join(f.words for f in found[:_SHOWN])}{more}\n  next: {self._advice(found)}",
                cause="vulnerabilities",
                attachments=evidence,
            )
        if old := [r.system for r in reports if r.metadata.system and r.metadata.system.end_of_life]:
            raise GateBreach(
                f"{pinned} is built on {old[0]}, which gets no security updates any more: what is unsafe in it is not "
                "in the database\n  next: build it on a release that is supported",
                cause="vulnerabilities",
                attachments=evidence,
            )

    def _advice(self, found: Sequence[Finding]) -> str:
        fixable = sorted({f.package for f in found if f.fixed})
        mend = f"raise {', '.join(fixable[:_SHOWN])} and build anew" if fixable else "there is no fix yet"
        where = self._ignore_file.name if self._ignore_file else "the file that scan.ignore_file names"
        return f"{mend}; what you accept for a while goes into {where}: {found[0].id} exp:YYYY-MM-DD"

    def _ignoring(self, ignored: Sequence[str], entries: Sequence[Ignored]) -> list[str]:
        today = self._clock.now().date()
        until = {entry.id: entry.until for entry in entries}
        over = [f"{entry.id} (since {entry.until})" for entry in entries if entry.until <= today]
        told = []
        if ignored:
            told.append("ignored: " + ", ".join(f"{n} until {until[n]}" if n in until else n for n in ignored))
        if over:
            told.append(f"no longer ignored: {', '.join(over)}")
        return told

    def _scan(self, pinned: str, wanted: Sequence[str], platform: str | None, logs: list[str]) -> Report:
        # A folder of its own: trivy takes settings and ignore files from where it stands.
        with TemporaryDirectory(prefix="pytest-deploy-scan-") as scratch:
            output, nothing = Path(scratch) / "report.json", Path(scratch) / "nothing"
            nothing.touch()
            argv = (
                self._binary, "image", "--image-src", "remote", "--scanners", "vuln", "--list-all-pkgs",
                "--show-suppressed", "--no-progress", "--severity", ",".join(wanted), "--format", "json",
                "--output", str(output), "--exit-code", "0", "--timeout", f"{int(self._timeout.total_seconds())}s",
                # The default would be a file of its own choice in the working folder.
                "--ignorefile", str(self._ignore_file or nothing),
                *self._cache,
                *(("--db-repository", self._db_repository) if self._db_repository else ()),
                *(("--platform", platform) if platform else ()),
                *(("--skip-db-update", "--skip-java-db-update", "--offline-scan") if self._offline else ()),
                "--", pinned,
            )  # fmt: skip
            done = self._run(argv, Path(scratch), logs)
            text = output.read_text("utf-8", errors="replace") if output.is_file() else ""
        report = self._parsed(Report, text, done, f"the scan of {pinned}", logs)
        digest = pinned.partition("@")[2]
        if not any(name.endswith(f"@{digest}") for name in report.metadata.digests):
            raise self._no_answer(f"trivy was to scan {digest}, but scanned {report.metadata.digests}", logs)
        if platform and report.platform != platform:
            raise self._no_answer(f"trivy was to scan {platform} of {pinned}, but scanned {report.platform}", logs)
        if why := report.unseen:
            raise self._no_answer(
                f"trivy can't tell whether {pinned} ({report.platform}) is clean: {why}", logs,
                hint="build it on a distribution that trivy knows, and keep its list of packages",
            )  # fmt: skip
        return report

    def _database(self, logs: list[str]) -> datetime:
        argv = (self._binary, "version", "--format", "json", *self._cache)
        with TemporaryDirectory(prefix="pytest-deploy-scan-") as scratch:
            done = self._run(argv, Path(scratch), logs)
        database = self._parsed(Versions, done.stdout, done, "trivy version", logs).database
        if database is None:
            raise self._no_answer("trivy does not tell how old its vulnerability database is", logs)
        age = self._clock.now() - database.updated_at
        if age > self._db_max_age:
            raise self._no_answer(
                f"trivy's vulnerability database is of {database.updated_at:%Y-%m-%d %H:%M} UTC, "
                f"{age.total_seconds() / 3600:.0f} h old; at most {self._db_max_age.total_seconds() / 3600:g} h "
                "(scan.db_max_age_hours): it knows nothing of what was found since",
                logs,
                hint=f"renew it: {' '.join((self._binary, 'image', '--download-db-only', *self._cache))}",
            )
        return database.updated_at

    def _run(self, argv: Sequence[str], folder: Path, logs: list[str]) -> Completed:
        limit_s = self._timeout.total_seconds() + _GRACE_S
        done = run(argv, timeout_s=limit_s, inherit=_INHERIT, cwd=folder)
        logs.append(f"$ {' '.join(argv)}\n{done.stderr}exit {done.status} after {done.seconds:.1f} s\n")
        if done.timed_out:
            raise ToolTimedOut(
                f"trivy had not ended after {done.seconds:.0f} s and was ended; that is not clean",
                hint="scan again, or raise scan.timeout_minutes",
                cause="scan",
                attachments=(Attachment("trivy", "\n".join(logs)),),
            )
        if done.status:
            hint = "scan again once the registry and the database can be had"
            if _SLOW_DOWN.search(done.stderr):
                hint = "the registry asks to slow down: keep scan.cache_folder between runs, or set scan.db_repository"
            elif _DATABASE.search(done.stderr):
                hint = f"see whether the database can be had: {self._binary} image --download-db-only"
            said = last_lines(done.stderr.expandtabs(1), _SHOWN) or "nothing"
            raise self._no_answer(f"trivy ended with {done.status} and scanned nothing; it said: {said}", logs, hint)
        return done

    def _parsed(self, model: type[_Model], text: str, done: Completed, what: str, logs: list[str]) -> _Model:
        try:
            return model.model_validate(json.loads(text))
        except (ValueError, ValidationError) as error:
            said = last_lines(done.stderr.expandtabs(1), _SHOWN) or "nothing"
            raise self._no_answer(
                f"{what}: exit {done.status}, but {len(text)} characters that are no report of trivy; it said: {said}",
                logs,
            ) from error

    def _no_answer(self, text: str, logs: Sequence[str], hint: str = "") -> ToolFailed:
        return ToolFailed(
            text,
            hint=hint or f"run it by hand: {self._binary} image IMAGE",
            cause="scan",
            attachments=(Attachment("trivy", "\n".join(logs)),),
        )
