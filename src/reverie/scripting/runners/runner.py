"""Runs python3 scripts, over frames on a socket (see wire.py). Loaded by launch.py; needs nothing of reverie.

A warm parent holds the interpreter and its library, and forks a child while nothing is to do. That child takes the next
run, does it, and ends; so nothing of a script is left for the next one. The parent tells of its end. A child that has
nothing to do yet plays a run of our own, so that the memory it will write to is its own already.
"""

import ast
import contextlib
import ctypes
import gc
import itertools
import json
import math
import os
import random
import resource
import select
import signal
import struct
import sys
import threading

SCRIPT = "<script>"
LINES = []  # of the script that runs
HOST_GONE = 71
LARGEST = 64 << 20  # bytes of a message
LULL = 0.5  # milliseconds without a run, after which a child rehearses; under load the next one is here sooner
REHEARSAL = json.dumps(
    {
        "script": "for row in event.request.payload.resource:\n    row.seen = row['id'] > 1\nreturn {'seen': True}",
        "event": {"request": {"payload": {"resource": [{"id": n, "name": f"row {n}"} for n in range(25)]}}},
        "platform": {"session": {"user": {"id": 1}}, "config": {"api_version": "2.0"}},
    }
).encode()


# The parent.


def serve(wire, libc, lock):
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    sys.stderr.reconfigure(errors="replace")
    os.set_inheritable(wire, False)
    for _ in range(12):  # what the interpreter learns of our code is then learnt once, and not in each child
        rehearse(wire)
    send(wire, {"type": "ready", "version": sys.version.split()[0]})
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    ended = framed(encoded({"type": "ended", "code": 0}))  # once: all that the parent does dirties what it shares
    known = Known()  # noqa: F821 - of known.py, loaded before
    # The system's own: os.fork lets every module change the child first, which costs as much again. A parent with one
    # thread and no lock in hand does without; random numbers alone must not be the parent's.
    fork = ctypes.PyDLL(None).fork
    while True:
        pid = fork()
        if pid == 0:
            try:
                take_one(wire, libc, parent, lock, known)
            finally:
                os._exit(70)
        code = end_of(pid)  # raises when there was no fork
        known.learn()
        if code == HOST_GONE:
            os._exit(code)
        os.write(wire, framed(encoded({"type": "ended", "code": code})) if code else ended)


def end_of(pid):
    """Wait for the child, and end what it started in its group."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its number stays taken until it is asked for
    with contextlib.suppress(OSError):  # it ended before it had a group
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # what it left without a parent
    return os.waitstatus_to_exitcode(status)


def send(wire, message):
    write(wire, encoded(message))


def encoded(message, *, nan=True):
    return json.dumps(message, ensure_ascii=False, allow_nan=nan, default=plain).encode("utf-8", "replace")


def write(wire, body):
    if len(body) > LARGEST:
        body = b'{"type":"error","message":"The script left or sent more than 64 MiB."}'
    data = memoryview(framed(body))
    while data:
        data = data[os.write(wire, data) :]


def framed(body):
    return struct.pack(">I", len(body)) + body


def receive(wire):
    (length,) = struct.unpack(">I", read(wire, 4))
    return read(wire, length)


def read(wire, count):
    parts = []
    while count:
        part = os.read(wire, min(count, 1 << 20))
        if not part:
            os._exit(HOST_GONE)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


# The child.


def take_one(wire, libc, parent, lock, known):
    """Wait for a run, do it, and end."""
    random.seed()
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(HOST_GONE)
    os.setpgid(0, 0)
    lock()
    if not is_spoken_to(wire):
        rehearse(wire)
    message = json.loads(receive(wire), object_hook=Map)
    me = os.getpid()
    send(wire, {"type": "started", "pid": me})
    limit_memory(message["memory"])
    if message["type"] == "check":
        answer = encoded(checked(message["script"], compile_script))  # noqa: F821 - of check.py, loaded before
    else:
        if message["platform"].get("trace"):
            trace(sys.stdout.write)
        answer = run(message, Platform(message["platform"], wire), known.compiled)
    if os.getpid() != me:
        os._exit(0)  # a fork that the script made has come this far
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the script has closed it
            stream.flush()
    write(wire, answer)
    os._exit(0)


def is_spoken_to(wire):
    """Whether a message comes before long; also when there is nobody any more who could send one."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(LULL))


def rehearse(wire):
    """Do what every run does, on an event of our own; nothing of it is left, and nothing is sent."""
    message = json.loads(REHEARSAL, object_hook=Map)
    data_size()
    run(message, Platform(message["platform"], wire), lambda text, compile_script: compile_script(text))


def limit_memory(allowed):
    """Let data grow by *allowed* MiB from here."""
    limit = data_size() + allowed * 1048576
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def data_size():
    """Bytes of data that this process has now."""
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(file, 200).split()[5]) * resource.getpagesize()
    finally:
        os.close(file)


def run(message, platform, compiled):
    """Do a run of the script as *compiled* has it. Returns the body of its answer."""
    event = message["event"]
    try:
        names = {"__name__": "__main__", "event": event, "platform": platform}
        LINES[:] = message["script"].splitlines()
        exec(compiled(message["script"], compile_script), names)
        returned = names["__script__"](event, platform)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        if code == 1 and stop.code != 1:
            print(stop.code, file=sys.stderr)
        return encoded({"type": "error", "message": f"Executed command returned with error code: {code}"})
    except BaseException as error:
        return encoded(failure(error))
    answer = {"type": "result", "event": event}
    if returned is not None:
        answer["returned"] = returned
    try:
        return encoded(answer, nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return encoded(without_nan(answer, error))


def without_nan(answer, error):
    """The answer with null for each number that JSON does not know; if that was not its trouble, the error."""

    def cleaned(value):
        if isinstance(value, dict):
            return {name: cleaned(item) for name, item in value.items()}
        if isinstance(value, list):
            return [cleaned(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    try:
        return cleaned(json.loads(json.dumps(answer, default=plain)))
    except (TypeError, ValueError, RecursionError):
        return failure(error)


def compile_script(text):
    """The text as the body of a function, so that ``return`` works; lines keep their numbers."""
    tree = ast.parse(text, SCRIPT)
    first = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    body = [node for node in tree.body if node not in first] or [ast.Pass()]
    names = [ast.arg("event"), ast.arg("platform")]
    arguments = ast.arguments([], names, None, [], [], None, [])
    function = ast.FunctionDef("__script__", arguments, body, [], None, type_params=[])
    tree.body = [*first, function]
    return compile(ast.fix_missing_locations(tree), SCRIPT, "exec")


def failure(error):
    text = type(error).__name__
    with contextlib.suppress(Exception):  # its __str__ is the script's
        text = str(error.args[0]) if isinstance(error, SyntaxError | KeyError) and error.args else str(error) or text
    return {
        "type": "error",
        "message": text,
        "kind": type(error).__name__,
        **place_of(error),
        "status_code": simple(getattr(error, "status_code", None)),
        "code": simple(getattr(error, "code", None)),
    }


def simple(value):
    return value if isinstance(value, int | float | str) else None


def place_of(error):
    """Line and column of the script, from 1."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return {"line": error.lineno, "column": error.offset}
    found = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == SCRIPT:
            found = step
        step = step.tb_next
    return {} if found is None else {"line": found.tb_lineno, "column": column_of(found)}


def column_of(step):
    """Where in its line a step of a traceback stands; positions are counted in bytes of UTF-8, columns in letters."""
    line, _, start, _ = next(itertools.islice(step.tb_frame.f_code.co_positions(), step.tb_lasti // 2, None))
    if line != step.tb_lineno or start is None or line > len(LINES):
        return None
    return len(LINES[line - 1].encode("utf-8", "replace")[:start].decode("utf-8", "ignore")) + 1


def plain(value):
    """What JSON does not know, as what it knows."""
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return str(value)


class Map(dict):
    """A map whose values are attributes, too."""

    def __getattr__(self, name):
        try:
            value = self[name]
        except KeyError:
            there = ", ".join(map(str, self)) or "nothing"
            raise AttributeError(f"there is no {name!r} here, only {there}") from None
        if type(value) is dict:
            value = self[name] = Map(value)
        return value

    def __setattr__(self, name, value):
        self[name] = value

    def __delattr__(self, name):
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


def trace(write):
    """Tell where each print stands, before what it prints: for who tries a script, see trials.py."""

    def tell(text):
        step = sys._getframe(1)
        while step is not None and step.f_code.co_filename != SCRIPT:
            step = step.f_back
        return write(text if step is None else f"\x1e{step.f_lineno}\x1f{text}")

    sys.stdout.write = tell


class Result(Map):
    """The result of a call; as readable as an HTTP response."""

    def read(self):
        content = self.get("content")
        return content if isinstance(content, str) else json.dumps(content)

    @property
    def status(self):
        return self.get("status_code")

    def getcode(self):
        return self.get("status_code")


class Config(Map):
    """The platform's settings, under their old name, too."""

    @property
    def df(self):
        return self

    def __missing__(self, name):
        if name == "df":
            return self
        raise KeyError(name)


class Platform(Map):
    def __init__(self, given, wire):
        asker = Asker(wire)
        config = given.get("config")
        config = Config(config) if isinstance(config, dict) else config
        super().__init__(api=Api(asker), session=given.get("session"), config=config, store=Store(asker))


class Asker:
    """Asks the platform; threads of a script take turns."""

    def __init__(self, wire):
        self.wire = wire
        self.count = 0
        self.turn = threading.Lock()

    def ask(self, op, args):
        with self.turn:
            self.count += 1
            send(self.wire, {"type": "call", "id": self.count, "op": op, "args": args})
            return json.loads(receive(self.wire), object_hook=Map).get("value")


class Api:
    def __init__(self, asker):
        self._asker = asker

    def call(self, verb, path, payload=None, options=None):
        options = options if isinstance(options, dict) else {}
        args = {"verb": str(verb).upper(), "path": str(path), "payload": payload, "options": options}
        result = self._asker.ask("api", args)
        return Result(result) if isinstance(result, dict) else result

    def get(self, path, options=None):
        return self.call("GET", path, None, options)

    def post(self, path, payload=None, options=None):
        return self.call("POST", path, payload, options)

    def put(self, path, payload=None, options=None):
        return self.call("PUT", path, payload, options)

    def patch(self, path, payload=None, options=None):
        return self.call("PATCH", path, payload, options)

    def delete(self, path, payload=None, options=None):
        return self.call("DELETE", path, payload, options)


class Store:
    def __init__(self, asker):
        self._asker = asker

    def get(self, key, default=None):
        return self._asker.ask("store.get", {"key": str(key), "default": default})

    def set(self, key, value):
        self._asker.ask("store.set", {"key": str(key), "value": value})
