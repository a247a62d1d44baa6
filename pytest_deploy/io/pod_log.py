"""A pod's log: the one answer of an API server that is no JSON. As it grows, line by line, or its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pytest_deploy.errors import Faulted, Unreachable
from pytest_deploy.io.kubeconfig import plain

if TYPE_CHECKING:
    from pytest_deploy.io.kube import Connection

__all__ = ["log_end", "log_lines"]

_CONNECT_S = 5.0
_READ_S = 5.0
_CHUNK = 16 * 1024
_END_BYTES = 16 * 1024


def log_lines(
    connection: Connection, namespace: str, pod: str, *, since: str | None, idle_s: float
) -> Iterator[tuple[str, str]]:
    """Yield each line with its time stamp, until the container has ended or the stream was idle for too long.

    Args:
        since: a time stamp of before; lines from its second on come again. None: from the beginning.
        idle_s: seconds without a line after which the stream is ended: nobody tells of a connection that is gone.

    Raises:
        Unreachable: the stream broke, or did not begin.
        Faulted: the server gives no log.
    """
    import urllib3

    query = {"follow": "true", "timestamps": "true", **({"sinceTime": since} if since else {})}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{urlencode(query)}"
    wire = connection.open_wire()
    rest = b""
    try:
        answer = wire.pool.request(
            "GET",
            wire.server + path,
            headers={**wire.headers()},
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=idle_s),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            if answer.status != 200:
                words = " ".join(answer.read(500).decode(errors="replace").split())
                raise Faulted(f"the log of pod {namespace}/{pod}: {answer.status}, {words}")
            while chunk := answer.read1(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    stamp, _, text = line.decode(errors="replace").partition(" ")
                    yield stamp, text
        finally:
            answer.close()
            wire.pool.clear()
    except urllib3.exceptions.ReadTimeoutError:
        return
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"the log of pod {namespace}/{pod} broke off: {plain(error)}") from error


def log_end(connection: Connection, namespace: str, pod: str, container: str, *, previous: bool, lines: int) -> str:
    """Return the last lines of a container's log, at most 16 KiB; "" where there is none.

    Args:
        previous: of the container that ran before, the one that crashed.

    Raises:
        Unreachable: no answer.
        Faulted: the server gives no log, and says why.
    """
    import urllib3

    query = {
        "container": container,
        "tailLines": str(lines),
        "limitBytes": str(_END_BYTES),
        **({"previous": "true"} if previous else {}),
    }
    wire = connection.open_wire()
    try:
        answer = wire.pool.request(
            "GET",
            f"{wire.server}/api/v1/namespaces/{namespace}/pods/{pod}/log?{urlencode(query)}",
            headers={**wire.headers()},
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
            retries=False,
            redirect=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"the log of pod {namespace}/{pod}: {plain(error)}") from error
    finally:
        wire.pool.clear()
    text = str(answer.data.decode(errors="replace"))
    if answer.status != 200:
        raise Faulted(f"the log of pod {namespace}/{pod}: {answer.status}, {' '.join(text.split())[:500]}")
    return text
