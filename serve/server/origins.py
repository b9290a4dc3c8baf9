"""Refuses HTTP requests of other sites' web pages, even from a browser on the server's machine.

A page can send requests to any address that its reader's browser reaches. Two headers, which scripts can't write, show
where a request comes from: `Host` is the name that was requested (after DNS rebinding that of the other site, which
then resolves to this server's address), `Origin` is the page's site. Programs (curl, clients of TensorFlow Serving)
send no `Origin`. gRPC needs no such check: browsers can't speak it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.types import Scope

from seis_tf.serve.server.errors import Refused
from seis_tf.settings.serving import ServerSettings

# A cross-site form can't send it, and another site's script only after a preflight request, which is refused.
PAGE_HEADER = b"x-requested-with"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?")


class Origins:
    """Compares a request's headers with the names of this server.

    Args:
        settings: address and further names. A server that listens on all addresses (0.0.0.0) may also be requested by
            any numeric address and by the machine's name.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._names = {name.lower().strip("[]") for name in (*_LOOPBACK, settings.host, *settings.allow_hosts)}
        self._further = {name.lower() for name in settings.allow_hosts}
        self._everywhere = settings.host in ("", "0.0.0.0", "::")
        if self._everywhere:
            self._names.add(socket.gethostname().lower())

    def check(self, scope: Scope) -> None:
        """Refuses a request of another site's page.

        Raises:
            Refused: PERMISSION_DENIED.
        """
        headers = _headers(scope, b"host", b"origin", b"sec-fetch-site")
        host = headers.get(b"host", "").lower()
        if not self._known(host):
            expected = f"a name of this server ({', '.join(sorted(self._names))}; more by --allow-host)"
            raise Refused("PERMISSION_DENIED", f"Host: expected {expected}, received {host[:100]!r}")
        origin = headers.get(b"origin", "").lower()
        if b"origin" in headers and not self._same_site(origin, host):
            raise Refused("PERMISSION_DENIED", f"Origin: expected none or http://{host}, received {origin[:100]!r}")
        site = headers.get(b"sec-fetch-site", "none")
        if b"origin" not in headers and scope["method"] != "GET" and site not in ("none", "same-origin"):
            raise Refused("PERMISSION_DENIED", f"Sec-Fetch-Site: expected same-origin or none, received {site[:100]!r}")

    def _known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]")
        return name in self._names or host in self._names or (self._everywhere and _is_address(name))

    def _same_site(self, origin: str, host: str) -> bool:
        """Whether a page's site is this server: the same name and port, or a name that the settings allow."""
        try:
            site = urlsplit(origin)
            name = site.hostname
        except ValueError:
            return False
        if site.scheme not in ("http", "https") or not name:
            return False
        return site.netloc == host or name in self._further or site.netloc in self._further


def check_page(scope: Scope) -> None:
    """Refuses a request to the page's routes without the header that the page's script sends.

    Raises:
        Refused: PERMISSION_DENIED.
    """
    if PAGE_HEADER not in _headers(scope, PAGE_HEADER):
        name = PAGE_HEADER.decode()
        raise Refused(
            "PERMISSION_DENIED", f"{name}: expected this header, as the page's script sends it, received none"
        )


def _headers(scope: Scope, *names: bytes) -> dict[bytes, str]:
    """Some headers by name; a repeated one has both values joined, which matches no name and is so refused."""
    values: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in names:
            text = value.decode("latin-1").strip()
            values[name] = f"{values[name]}, {text}" if name in values else text
    return values


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
