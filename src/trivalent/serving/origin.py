"""Who asked a browser for something: the host that a request names and the origin that it comes from.

The guards of the app and of the service share it. A page of another site can have a browser send
requests here; what the browser adds to them, the page cannot change.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEB = {"ws": "http", "wss": "https"}


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port; a malformed one gives an empty text.

    >>> host_name("localhost:8000"), host_name("[::1]:8000"), host_name("127.0.0.1"), host_name("a/b")
    ('localhost', '::1', '127.0.0.1', '')
    """
    place = _place(host, "http")
    return "" if place is None else place[0]


def origin_of(scheme: str, host: str) -> str:
    """Return the origin that a page has which was loaded from a host; an empty text for a malformed one.

    >>> origin_of("ws", "Localhost:8501"), origin_of("https", "a.example:443")
    ('http://localhost:8501', 'https://a.example')
    """
    scheme = _WEB.get(scheme, scheme)
    place = _place(host, scheme)
    if place is None:
        return ""
    name, port = place
    shown = f"[{name}]" if ":" in name else name
    return f"{scheme}://{shown}" if port == _PORTS.get(scheme) else f"{scheme}://{shown}:{port}"


def is_same_origin(origin: str, *, scheme: str, host: str) -> bool:
    """Tell whether a page of an origin was loaded from where this request goes.

    >>> is_same_origin("http://localhost:80", scheme="ws", host="localhost")
    True
    >>> is_same_origin("null", scheme="http", host="localhost")
    False
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    own = origin_of(scheme, host)
    return bool(own) and parts.path == "" and origin_of(parts.scheme, parts.netloc) == own


def is_foreign(method: str, headers: Headers, *, scheme: str, host: str) -> bool:
    """Tell a request that a browser made for a page of another origin."""
    origins = headers.getlist("origin")
    if any(not is_same_origin(origin, scheme=scheme, host=host) for origin in origins):
        return True
    site = headers.get("sec-fetch-site")
    if site in (None, "same-origin", "none"):
        return False
    # a link that somebody follows: the page that has the link cannot read what is opened
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (method == "GET" and followed)


def _place(host: str, scheme: str) -> tuple[str, int | None] | None:
    """Name and port of a host; None when it is no host."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != host or "@" in host or any(c <= " " or c > "~" for c in host):
        return None
    return name.lower().rstrip("."), port or _PORTS.get(scheme)
