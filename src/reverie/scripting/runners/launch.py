"""Become the process that runs user code. Stands alone: ``python -I -S launch.py SPEC``, SPEC being a JSON map.

It makes a session of its own, ties its life to its parent's, sets limits, gives up root, closes every descriptor but
the standard ones and the pipe, lets the kernel (Landlock, where it has it) close all files but the system's and its
own folder, and (seccomp, likewise) all calls of the system that filters refuse. Then it turns into the program named,
or, without one, runs the Python runner itself. Every step must succeed: what cannot be locked in does not run.

SPEC: ``parent`` process id; ``user`` to become, or null; ``folder`` to live in; ``wire`` descriptor of the pipe;
``place`` where the pipe goes: ``stdio`` (descriptors 0 and 1) or ``third`` (3); ``program`` a path or null;
``arguments``; ``runner`` path of the Python runner; ``reads`` more paths that it may read; ``folders`` those that the
user could not reach by name, with the descriptors to hand on; ``environment``; ``limits`` by name, such as
``{"nofile": 256}``; ``filters`` of system calls in hexadecimal; ``last_filter``, which the Python runner puts on itself
around a run; ``sockets``, whether scripts may open their own.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
READ = 0b1101  # execute, read a file, list a folder
FILE = 0b1100_0000_0000_0111  # what concerns a file and no folder: execute, write, read, cut, control a device
# Not all of /etc, /sys and /dev: settings of this instance may stand in the first, and what every process may write in
# the last is a way from one script to another.
SYSTEM = [
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/run/systemd/resolve",
    "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm",
    *("/etc/" + name for name in (
        "alternatives", "ca-certificates", "crypto-policies", "gai.conf", "group", "host.conf", "hosts", "inputrc",
        "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "machine-id", "mime.types",
        "nsswitch.conf", "os-release", "passwd", "pki", "protocols", "resolv.conf", "services",
        "ssl", "terminfo", "timezone",
    )),
    *("/etc/" + name for name in os.listdir("/etc") if name.startswith(("php", "python"))),
]  # fmt: skip
DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]

libc = ctypes.CDLL(None, use_errno=True)


def main(spec):
    os.setsid()
    end_with(spec["parent"])
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))  # what a script leaves without a parent comes back here
    give_way_when_memory_ends()
    for name, value in spec["limits"].items():
        lower(getattr(resource, "RLIMIT_" + name.upper()), value)
    program = open_program(spec["program"])
    runner = None if program is not None else load(spec["runner"])
    library = [] if runner is None else runner["prepare"](spec["sockets"])
    rules = landlock([*spec["reads"], *library, *([spec["program"]] if program is not None else [])], spec["folder"])
    os.umask(0o077)
    os.chdir(spec["folder"])
    for path, number in spec["folders"].items():
        hand_on(path, number)
    place(spec["wire"], spec["place"], [program, rules, *spec["folders"].values()])
    drop(spec["user"])
    end_with(spec["parent"])  # a change of user had cleared it
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if rules is not None:
        check(libc.syscall(LANDLOCK_RESTRICT, rules, 0))
        os.close(rules)
    for one in spec["filters"]:
        put_on(filter_of(one))
    if runner is None:
        turn_into(program, spec)
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))  # a run shall not look into the parent that forked it
    os.environ.clear()
    os.environ.update(spec["environment"])
    last = filter_of(spec["last_filter"])
    runner["serve"](3, libc, lambda: put_on(last))


def end_with(parent):
    """Be killed when the parent ends, and end now if it is gone already."""
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def give_way_when_memory_ends():
    """A machine out of memory shall end this process before any other; a system without this switch does without."""
    try:
        with open("/proc/self/oom_score_adj", "w") as switch:
            switch.write("1000")
    except OSError:
        pass


def lower(limit, value):
    """Set a limit for good, never above what is in force."""
    _, most = resource.getrlimit(limit)
    if most != resource.RLIM_INFINITY:
        value = min(value, most)
    resource.setrlimit(limit, (value, value))


def open_program(path):
    """Open it now: the user we become may not be able to reach it by name."""
    return None if path is None else high(os.open(path, os.O_RDONLY))


def high(descriptor):
    """The descriptor moved above those that `place` moves about; closed by an exec."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(descriptor)
    return moved


def hand_on(path, number):
    """Open a folder under that descriptor, to be walked by it whoever we become."""
    low = os.open(path, os.O_PATH)
    os.dup2(low, number)
    os.close(low)


def load(path):
    """The names of the runner, and of the files beside it that are parts of it."""
    names = {"__name__": "reverie_runner"}
    for part in ("prepare.py", "check.py", "known.py", os.path.basename(path)):
        with open(os.path.join(os.path.dirname(path), part), encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), names)
    return names


def landlock(reads, folder):
    """A set of rules: read the system and *reads*, write *folder* and devices; no signal to a process outside.

    None where the kernel has no Landlock: then files are as open as their owner and mode say.
    """
    version = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return None
    known = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)  # access rights by version, a bit each
    everything = (1 << known) - 1
    attributes = (ctypes.c_uint64 * 3)(everything, 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(attributes), size, 0)
    if rules < 0:
        check(-1)
    for path in [*SYSTEM, *reads]:
        allow(rules, path, READ)
    for path in [folder, *DEVICES]:
        allow(rules, path, everything)
    return high(rules)


class Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32)]


def allow(rules, path, access):
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH)
        if not os.path.isdir(path):
            access &= FILE
        rule = Beneath(access, descriptor)
        check(libc.syscall(LANDLOCK_ADD, rules, 1, ctypes.byref(rule), 0))
        os.close(descriptor)


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def filter_of(text):
    """A filter of system calls and its steps, from hexadecimal; None from nothing."""
    if not text:
        return None
    steps = ctypes.create_string_buffer(bytes.fromhex(text))
    return Filter(len(text) // 16, ctypes.cast(steps, ctypes.c_void_p)), steps


def put_on(one):
    """Have the kernel refuse what a filter names, from here on and in all that is started."""
    if one is not None:
        check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(one[0]), 0, 0))


def place(wire, where, kept):
    """Move the pipe to its place and close all but it, the standard descriptors, *kept* and what is in `sys.path`."""
    if where == "stdio":
        os.dup2(wire, 0)
        os.dup2(wire, 1)
        first = 3
    else:
        if wire != 3:
            os.dup2(wire, 3)
        os.set_inheritable(3, True)
        first = 4
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor >= first and descriptor not in kept and f"/proc/self/fd/{name}" not in sys.path:
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(descriptor)


def drop(user):
    if user is None:
        return
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if os.getuid() == 0 or os.geteuid() == 0:
        raise PermissionError("still root")


def turn_into(program, spec):
    path, environment = spec["program"], spec["environment"]
    script = os.pread(program, 2, 0) == b"#!"  # its interpreter opens it by name
    os.execve(path if script else program, [path, *spec["arguments"]], environment)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
