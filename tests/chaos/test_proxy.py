"""The proxy does to a connection what it says."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy, proxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while piece := self.request.recv(100):
            self.request.sendall(piece)


@pytest.fixture
def between() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        with proxy(server.server_address[1]) as started:
            yield started
        server.shutdown()
        thread.join()


def connected(between: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", between.port), timeout=10)


def test_what_was_sent_into_a_black_hole_arrives_when_it_passes_again(between: Proxy) -> None:
    with connected(between) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"a"

        between.set("blackhole")
        client.sendall(b"b")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(10)

        between.set("pass")
        client.settimeout(10)
        assert client.recv(10) == b"b"


def test_a_cut_closes_connections_and_new_ones_too(between: Proxy) -> None:
    with connected(between) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"a"
        between.set("cut")
        assert ended(client)
        with connected(between) as another:
            assert ended(another)


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(10) == b""
    except ConnectionResetError:
        return True
