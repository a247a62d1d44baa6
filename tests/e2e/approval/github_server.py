"""GitHub on this machine, as far as an approval asks it: TLS, logins, one repository with its protected environment.

It answers as the public reference says, https://docs.github.com/en/rest, for a GitHub Enterprise Server (``/api/v3``):
a token that may not see a thing gets 404; reviews say neither when nor for which attempt they were given, and stay
listed at later attempts; a dispatch names its run where the server is new enough, else it answers 204.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

JOB_TOKEN, ORG_TOKEN = "ghs-job-5ecret", "ghp-org-5ecret"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMMIT = "c0ffee" + "0" * 34
_WORKFLOW_ID = 17


@dataclass(kw_only=True)
class Bad:
    """An answer that is none, for the next requests whose path matches."""

    path: str
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass(kw_only=True)
class Github:
    """The repository acme/checkout-api: what there is, and what was asked for.

    Args:
        appears_after: how many lists a dispatched run is missing from.
        cancelled_after_yes: a run is cancelled once its reviews, with a yes among them, have been read.
        names_runs: a dispatch answers with the run's id (GitHub since 2026, Enterprise Server since 3.21).
        bypass: ``can_admins_bypass``; None: the server does not say.
        run_name: the workflow's ``run-name`` holds the digest.
    """

    host: str = ""
    ca: Path = Path()
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    names_runs: bool = True
    bypass: bool | None = False
    reviewers: tuple[str, ...] = ("@acme/sre",)
    teams: dict[str, set[str]] = field(default_factory=lambda: {"acme/sre": {"ann", "bob"}, "acme/qa": {"quinn"}})
    author: str | None = "dora"
    committer: str | None = "web-flow"
    run_name: bool = False
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    dispatched: list[dict[str, Any]] = field(default_factory=list)
    comments: list[tuple[str, str]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    appears_after: int = 0
    cancelled_after_yes: bool = False
    _next: int = 7000

    def begin_run(self, *, actor: str = "dora", started: datetime | None = None, title: str = "Deploy") -> int:
        """Make a run whose protected job waits, or has begun; return its id."""
        self._next += 1
        self.runs[self._next] = {
            "id": self._next,
            "html_url": f"https://{self.host}/acme/checkout-api/actions/runs/{self._next}",
            "head_sha": COMMIT,
            "run_attempt": 1,
            "run_started_at": f"{started or self.now:%Y-%m-%dT%H:%M:%SZ}",
            "created_at": f"{started or self.now:%Y-%m-%dT%H:%M:%SZ}",
            "display_title": title,
            "event": "workflow_dispatch",
            "status": "waiting",
            "conclusion": None,
            "actor": {"login": actor, "id": 1, "type": "User"},
            "triggering_actor": {"login": actor, "id": 1, "type": "User"},
        }
        self.reviews[self._next] = []
        return self._next

    def review(self, run: int, by: str, comment: str, *, state: str = "approved", environment: str = "prod") -> None:
        """Let somebody answer; a no ends the run."""
        self.reviews[run].append(
            {
                "state": state,
                "comment": comment,
                "environments": [{"id": 161088068, "node_id": "x", "name": environment, "url": "", "html_url": ""}],
                "user": {"login": by, "id": 2, "type": "User", "site_admin": False},
            }
        )
        if state == "rejected":
            self.runs[run] |= {"status": "completed", "conclusion": "failure"}

    def answer(  # noqa: PLR0911 - an answer for each kind of request
        self, method: str, path: str, token: str, body: Any
    ) -> tuple[int, Any]:
        """Return status and body."""
        path, _, _query = path.partition("?")
        if token not in {JOB_TOKEN, ORG_TOKEN}:
            return 401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"}
        if path == "/api/graphql":
            return self._graphql(body)
        path = unquote(path.removeprefix("/api/v3"))
        if path in {"/meta", "/"}:
            return 200, {"installed_version": "3.22.0" if self.names_runs else "3.20.1"}
        if found := re.fullmatch(r"/orgs/acme/teams/([a-z]+)(?:/memberships/([a-z]+))?", path):
            team = self.teams.get(f"acme/{found[1]}")
            if token != ORG_TOKEN or team is None:
                return 404, _NOT_FOUND
            if found[2] is None:
                return 200, {"slug": found[1], "name": found[1]}
            return (200, {"state": "active", "role": "member"}) if found[2] in team else (404, _NOT_FOUND)
        repository = "/repos/acme/checkout-api"
        if not path.startswith(repository):
            return 404, _NOT_FOUND
        return self._repository(method, path.removeprefix(repository), body)

    def _repository(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/environments/prod":
            return 200, self._environment()
        if found := re.fullmatch(r"/commits/([0-9a-f]{40})", path):
            people = (self.author, self.committer)
            author, committer = ({"login": each, "id": 3} if each else None for each in people)
            return 200, {"sha": found[1], "author": author, "committer": committer}
        if method == "POST" and (found := re.fullmatch(r"/commits/([0-9a-f]{40})/comments", path)):
            self.comments.append((found[1], body["body"]))
            return 201, {"id": 1, "body": body["body"]}
        if found := re.fullmatch(r"/actions/runs/(\d+)(/approvals|/cancel)?", path):
            return self._run(method, int(found[1]), found[2])
        if path.startswith("/actions/workflows/"):
            return self._workflow(method, path.removeprefix("/actions/workflows/"), body)
        return 404, _NOT_FOUND

    def _run(self, method: str, run: int, what: str | None) -> tuple[int, Any]:
        if run not in self.runs:
            return 404, _NOT_FOUND
        if what == "/approvals":
            if self.cancelled_after_yes and self.reviews[run]:
                self.runs[run] |= {"status": "completed", "conclusion": "cancelled"}
            return 200, self.reviews[run]
        if what == "/cancel":
            if method != "POST" or self.runs[run]["conclusion"]:
                return 409, {"message": "Cannot cancel a workflow run that is completed"}
            self.runs[run] |= {"status": "completed", "conclusion": "cancelled"}
            return 202, {}
        return 200, self.runs[run]

    def _workflow(  # noqa: PLR0911 - an answer for each kind of request
        self, method: str, path: str, body: Any
    ) -> tuple[int, Any]:
        name, _, what = path.partition("/")
        if name not in {"deploy-prod.yml", str(_WORKFLOW_ID)}:
            return 404, _NOT_FOUND
        if what == "":
            where = ".github/workflows/deploy-prod.yml"
            return 200, {"id": _WORKFLOW_ID, "name": "Deploy", "path": where, "state": "active"}
        if what == "runs":
            listed = list(self.runs.values())
            if self.dispatched and self.appears_after > 0:  # a run is listed a moment after its dispatch
                self.appears_after -= 1
                listed = listed[:-1]
            return 200, {"total_count": len(listed), "workflow_runs": listed[::-1]}
        if what != "dispatches" or method != "POST":
            return 404, _NOT_FOUND
        if set(body) - {"ref", "inputs", *(["return_run_details"] if self.names_runs else [])}:
            return 400, {"message": "Invalid request."}
        if set(body["inputs"]) != {"service", "image_digest", "strategy"}:
            return 422, {"message": f"Unexpected inputs provided: {sorted(body['inputs'])}"}
        self.dispatched.append(body)
        title = f"Deploy {body['inputs']['image_digest']}" if self.run_name else "Deploy"
        run = self.begin_run(actor="github-actions[bot]", title=title)
        if not body.get("return_run_details"):
            return 204, None
        api = f"https://{self.host}/api/v3/repos/acme/checkout-api/actions/runs/{run}"
        return 200, {"workflow_run_id": run, "run_url": api, "html_url": self.runs[run]["html_url"]}

    def _environment(self) -> dict[str, Any]:
        rows = [
            {"type": "Team", "reviewer": {"id": 1, "slug": each.partition("/")[2], "name": each}}
            if "/" in each
            else {"type": "User", "reviewer": {"id": 2, "login": each.removeprefix("@"), "type": "User"}}
            for each in self.reviewers
        ]
        rule = {"id": 3, "node_id": "x", "type": "required_reviewers", "prevent_self_review": False, "reviewers": rows}
        rules = [{"id": 4, "type": "wait_timer", "wait_timer": 0}, *([rule] if rows else [])]
        known = {} if self.bypass is None else {"can_admins_bypass": self.bypass}
        return {"id": 161088068, "name": "prod", "protection_rules": rules, **known}

    def _graphql(self, body: Any) -> tuple[int, Any]:
        if "RepositoryInfo" not in body["query"]:
            return 200, {"errors": [{"message": f"not asked for before: {body['query']}"}]}
        repository = {
            "id": "R_1",
            "name": "checkout-api",
            "owner": {"login": "acme"},
            "defaultBranchRef": {"name": "main"},
        }
        return 200, {"data": {"repository": repository}}


_NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}


@contextmanager
def serving(folder: Path) -> Iterator[Github]:
    """Serve it over TLS on a free port, with a certificate of its own."""
    github = Github(ca=folder / "ca.pem")
    argv = (
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-keyout", str(folder / "key.pem"), "-out", str(github.ca), "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    )  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(github))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(github.ca, folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    github.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(github: Github) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            token = (self.headers.get("Authorization") or "").removeprefix("token ")
            with lock:
                github.asked.append(f"{self.command} {self.path}")
                bad = next((each for each in github.bad if each.times and re.search(each.path, self.path)), None)
                if bad is not None:
                    bad.times -= 1
                    self._send(bad.status, bad.body, bad.headers)
                    return
                status, body = github.answer(self.command, self.path, token, json.loads(data) if data else None)
            self._send(status, "" if body is None else json.dumps(body), {})

        do_POST = do_GET  # noqa: N815 - http.server's name

        def _send(self, status: int, body: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            if status != 204:
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


HOUR = timedelta(hours=1)
