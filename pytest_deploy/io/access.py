"""What a service is shown so that it lets us in: headers and certificates, kept out of every text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.errors import ConfigError

if TYPE_CHECKING:
    import ssl

__all__ = ["Access", "basic", "bearer"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
"""https://www.rfc-editor.org/rfc/rfc9110#section-5.5; a newline in a token file's text is the usual mistake."""

_SECRET_LENGTH = 4
"""What is shorter hides nobody, and would blank out every other word."""


class Access:
    """Credentials for one service; no text that it returns or raises holds one.

    Args:
        headers: sent with each request.
        ca_file: PEM file of the authorities that the service's certificate may come from; None: the usual ones.
        client_cert: PEM files of our certificate and of its key; None: we show none.

    Raises:
        ConfigError: a header that can't be sent; its value is not repeated.
    """

    def __init__(
        self, headers: Mapping[str, str], *, ca_file: str | Path | None, client_cert: tuple[str, str] | None
    ) -> None:
        self.headers = dict(headers)
        self._ca_file = ca_file
        self._client_cert = client_cert
        problems = [
            f"the header {name[:40]!r} can't be sent: its {'value' if _NAME.fullmatch(name) else 'name'} holds a "
            "character that no header may hold, such as a space or a newline at its end"
            for name, value in self.headers.items()
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value))
        ]
        if problems:
            raise ConfigError(problems)
        self._secrets = sorted({s for v in self.headers.values() for s in _secrets(v)}, key=len, reverse=True)

    def context(self) -> ssl.SSLContext | None:
        """Return how to speak TLS; None: as usual.

        Raises:
            ConfigError: a file is missing, or no certificate or key.
        """
        if self._ca_file is None and self._client_cert is None:
            return None
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ValueError) as error:
            problem = f"{self._ca_file}: no certificate authority can be read from it: {_reason(error)}"
            raise ConfigError([problem]) from error
        if self._client_cert is not None:
            certificate, key = self._client_cert
            try:
                # An empty password: a key that wants one is an error, not a question on the terminal.
                context.load_cert_chain(certificate, key, password="")
            except (OSError, ValueError) as error:
                problem = f"{certificate} with {key}: no client certificate with its key: {_reason(error)}"
                raise ConfigError([problem]) from error
        return context

    def hidden(self, text: str) -> str:
        """Return the text with *** where a credential stood."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def mend(self, status: int) -> str:
        """Return the next move after a 4xx."""
        sent = ", ".join(name for name in self.headers if name != "accept")
        if status == 401:
            if sent:
                return f"the credentials that were sent ({sent}) are wrong or have expired: renew them"
            return "no credentials were sent: set a user, a token or a header for it"
        if status == 403:
            whose = f"the account behind {sent}" if sent else "a request without credentials"
            return f"{whose} is known, but may not read there: grant it, or set another account's credentials"
        return "check the address, and that this machine may read there"

    def mend_tls(self, said: str) -> str:
        """Return the next move where TLS failed with these words; "" where it did not."""
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return "give the authority that its certificate comes from as ca_file, and its name as the certificate says"
        if "CERTIFICATE_REQUIRED" in said or "HANDSHAKE_FAILURE" in said or "BAD_CERTIFICATE" in said:
            what = "does not accept our client certificate" if self._client_cert else "wants a client certificate"
            return f"it {what}: set cert_file and key_file"
        return "check that the address begins with the right one of http and https" if "[SSL" in said else ""


def basic(user: str, password: str) -> str:
    """Return the ``Authorization`` header's value for a user and a password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def bearer(token: str) -> str:
    """Return the ``Authorization`` header's value for a token (RFC 6750)."""
    return f"Bearer {token}"


def _secrets(value: str) -> Iterator[str]:
    """Yield a header's value, its words, and what they hold that is a secret by itself.

    What ``Basic`` has encoded (https://www.rfc-editor.org/rfc/rfc7617), and what stands behind a word's ``=``, as in
    PagerDuty's ``Token token=...``.
    """
    words = value.split()
    words += [word.partition("=")[2] for word in words]
    if words[0].lower() == "basic" and len(value.split()) == 2:
        try:
            pair = base64.b64decode(words[1]).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        words += [pair, pair.partition(":")[2]]
    yield from (word for word in (value, *words[1:]) if len(word) >= _SECRET_LENGTH)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
