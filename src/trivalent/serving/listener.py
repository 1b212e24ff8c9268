"""The socket that a server listens on: opened first, so that a taken port is told at once."""

from __future__ import annotations

import os
import socket

from trivalent.core.errors import UsageError

BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address of this computer; port 0 takes a free one.

    Parameters
    ----------
    host : str
        A name or an address; one of IPv6 may stand in brackets.
    port : int

    Raises
    ------
    UsageError
        The address cannot be listened on.
    """
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it sees that a socket is TCP; with it, every answer
    # waits 40 ms for the client's delayed acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((name, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError("service.server_port", host=host, port=port, reason=reason) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return where a server is reached, as an address for a browser."""
    name, port = listener.getsockname()[:2]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
