"""Wake-ups through a real Redis: what is heard, what happens while it is away, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from reverie.jobs.address import parse_address
from reverie.jobs.transports.redis import RedisBroker
from tests.acceptance.server import free_port
from tests.redis_server import RedisServer, redis_server, shared_redis

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


@asynccontextmanager
async def broker(url: str, name: str = "redis") -> AsyncIterator[RedisBroker]:
    opened = RedisBroker(name, parse_address(url), longest_pause=0.4, ping_every=0.3)
    try:
        yield opened
    finally:
        await opened.close()


class Ear:
    """Counts how often it was woken."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(url: str, queues: list[str] | None = None, name: str = "redis") -> AsyncIterator[Ear]:
    """An ear that hears by now; its first wake-up, for what came before, is not counted."""
    async with broker(url, name) as listener:
        ear = Ear()
        await listener.listen(queues, ear)
        await until(lambda: ear.times > 0)
        ear.times = 0
        yield ear


# -- telling and hearing


async def test_what_is_told_wakes_those_who_serve_the_queue() -> None:
    url = shared_redis().url
    async with (
        listening(url) as all_queues,
        listening(url, ["slow", "other"]) as slow,
        listening(url, ["fast"]) as fast,
        listening(url, name="another") as another,
        broker(url) as teller,
    ):
        teller.tell("slow")
        await until(lambda: bool(all_queues.times and slow.times))

        assert (all_queues.times, slow.times, fast.times, another.times) == (1, 1, 0, 0)
        assert not teller.away


async def test_instances_on_databases_of_their_own_do_not_wake_one_another() -> None:
    url = shared_redis().url
    async with listening(f"{url}/1") as one, listening(f"{url}/2") as two, broker(f"{url}/1") as teller:
        teller.tell("default")
        await until(lambda: one.times > 0)

        assert (one.times, two.times) == (1, 0)


async def test_many_at_once_are_told_in_few_messages(server: RedisServer) -> None:
    async with listening(server.url, ["last"]) as ear, broker(server.url) as teller:
        before = published(server)
        for number in range(2000):
            teller.tell(f"queue-{number % 50}")
            if number % 100 == 0:
                await asyncio.sleep(0)
        teller.tell("last")
        await until(lambda: ear.times > 0)

        assert 0 < published(server) - before <= 50


async def test_the_last_words_are_told_before_the_process_ends() -> None:
    url = shared_redis().url
    async with listening(url) as ear:
        async with broker(url) as teller:
            teller.tell("default")
        await until(lambda: ear.times == 1)


def published(server: RedisServer) -> int:
    for line in server.cli("INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_publish:"):
            return int(line.split("calls=")[1].split(",")[0])
    return 0


# -- while it is away


async def test_after_a_crash_of_the_server_it_is_heard_again_and_told_what_it_missed(server: RedisServer) -> None:
    with capture_logs() as logs:
        async with listening(server.url) as ear, broker(server.url) as teller:
            teller.tell("default")
            await until(lambda: ear.times == 1)
            server.kill()

            teller.tell("default")
            await until(lambda: teller.away)
            teller.tell("other")
            await asyncio.sleep(1)
            server.start()

            await until(lambda: not teller.away)
            await until(lambda: ear.times >= 2)  # for whatever came while it was deaf
            teller.tell("default")
            heard = ear.times
            await until(lambda: ear.times > heard)

    names = [entry["event"] for entry in logs]
    assert sorted(names) == ["queue.not_told", "queue.told_again", "worker.broker_away", "worker.broker_back"]
    assert {entry["connection"] for entry in logs} == {"redis"}
    assert {entry["server"] for entry in logs} == {server.url}


async def test_a_server_that_hangs_keeps_nobody_waiting(server: RedisServer) -> None:
    async with listening(server.url) as ear, broker(server.url) as teller:
        teller.tell("default")
        await until(lambda: ear.times == 1)
        with capture_logs() as logs:
            server.pause()

            began = time.monotonic()
            for _ in range(1000):
                teller.tell("default")
            assert time.monotonic() - began < 0.5
            await until(lambda: {"queue.not_told", "worker.broker_away"} <= {entry["event"] for entry in logs})
            server.resume()

            await until(lambda: not teller.away)
            await until(lambda: ear.times > 1)


async def test_a_connection_that_the_server_closed_is_no_outage(server: RedisServer) -> None:
    async with listening(server.url) as ear, broker(server.url) as teller:
        teller.tell("default")
        await until(lambda: ear.times == 1)
        server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        with capture_logs() as logs:
            teller.tell("default")
            await until(lambda: ear.times == 2)

    assert logs == []


async def test_closing_does_not_wait_for_a_server_that_is_away(server: RedisServer) -> None:
    server.pause()
    opened = RedisBroker("redis", parse_address(server.url))
    await opened.listen(None, Ear())
    opened.tell("default")
    began = time.monotonic()

    await opened.close()

    assert time.monotonic() - began < 1.9
    server.resume()


async def test_listening_can_be_given_up_at_any_moment() -> None:
    async with broker(shared_redis().url) as listener:
        for number in range(150):
            await listener.listen(None, Ear())
            for _ in range(number % 50):
                await asyncio.sleep(0)
            await asyncio.wait_for(listener.deafen(), 2)


# -- getting in


async def test_a_wrong_password_is_named_once_and_never_shown(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", "right") as server, capture_logs() as logs:
        async with broker(f"redis://:wrong-one@127.0.0.1:{server.port}") as teller:
            teller.tell("default")
            await until(lambda: teller.away)
            await asyncio.sleep(0.5)
            [finding] = await teller.examine()

        url = f"redis://:right@127.0.0.1:{server.port}"
        async with listening(url) as ear, broker(url) as teller:
            teller.tell("default")
            await until(lambda: ear.times == 1)

    [entry] = logs
    assert entry["event"] == "queue.not_told"
    assert "password" in entry["cause"]
    assert finding.level == "error"
    assert "wrong-one" not in f"{logs} {finding}"


async def test_a_user_needs_no_right_but_its_channels(server: RedisServer) -> None:
    server.cli(
        "ACL", "SETUSER", "waker", "on", ">pw", "resetkeys", "resetchannels", "&reverie:*", "-@all", "+publish",
        "+subscribe", "+ping",
    )  # fmt: skip
    url = f"redis://waker:pw@127.0.0.1:{server.port}"
    async with listening(url) as ear, broker(url) as teller:
        teller.tell("default")
        await until(lambda: ear.times == 1)
        await asyncio.sleep(0.5)  # a ping or two

        assert [finding.level for finding in await teller.examine()] == ["ok"]
    async with broker(url.replace("waker", "nobody")) as stranger:
        [finding] = await stranger.examine()
        assert finding.level == "error"


async def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--unixsocket", str(tmp_path / "r.sock")):
        async with listening(f"unix://{tmp_path}/r.sock") as ear, broker(f"unix://{tmp_path}/r.sock") as teller:
            teller.tell("default")
            await until(lambda: ear.times == 1)


async def test_over_tls_the_server_must_be_who_it_says(tmp_path: Path) -> None:
    ours, another = certificate(tmp_path / "ours"), certificate(tmp_path / "another")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", str(ours / "cert.pem"), "--tls-key-file")
    with redis_server(tmp_path / "redis", *options, str(ours / "key.pem"), "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{port}"
        trusting = f"{url}?ssl_ca_certs={ours}/cert.pem"
        async with listening(trusting) as ear, broker(trusting) as teller:
            teller.tell("default")
            await until(lambda: ear.times == 1)
        async with broker(f"{url}?ssl_ca_certs={another}/cert.pem") as stranger:
            [finding] = await stranger.examine()
            assert "certificate" in finding.message.lower()


def certificate(folder: Path) -> Path:
    """A key and a certificate of 127.0.0.1 that signs itself."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


# -- what an operator hears


async def test_an_examination_wakes_nobody_and_tells_what_it_saw(server: RedisServer) -> None:
    server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    async with listening(server.url) as ear, broker(server.url) as teller:
        findings = await teller.examine()
        await asyncio.sleep(0.1)
        assert ear.times == 0

    assert {finding.level for finding in findings} == {"ok"}
    text = "\n".join(finding.message for finding in findings)
    assert f"{server.url} passed a wake-up on in " in text
    assert "Redis " in text
    assert "maxmemory-policy is allkeys-lru; any will do" in text


async def test_a_server_that_is_away_is_an_error_that_says_what_it_costs(server: RedisServer) -> None:
    server.kill()
    async with broker(server.url) as teller:
        [finding] = await teller.examine()

    assert finding.level == "error"
    assert "No job is lost" in finding.message


async def test_a_replica_is_a_warning(server: RedisServer, tmp_path: Path) -> None:
    with redis_server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port)) as replica:
        async with broker(replica.url) as teller:
            levels = [finding.level for finding in await teller.examine()]

    assert levels.count("warning") == 1
