"""The socket that clients connect to."""

from __future__ import annotations

import socket
from typing import Final

import click

BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; it survives the process that serves it when a parent holds it too.

    Raises:
        click.ClickException: the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener
