"""python3: a script may use all of the library and the machine's own interfaces, so attempts are on what lies outside."""

from __future__ import annotations

from typing import Final

from tests.escapes.attempt import REFUSED, Attempt, calls, left

_LIBC: Final = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_SOCKET: Final = "import socket\ns = socket.socket({})\ns.settimeout(1)\n"


def read(name: str, path: str, before: str = "") -> Attempt:
    """A file that holds the canary, whatever it takes to read it."""
    return Attempt(name, f"{before}return t['canary'] in open({path}, errors='replace').read()")


def kernel(name: str, call: str) -> Attempt:
    """A call of the system that gives 0 or more if it is let through."""
    return Attempt(name, f"{_LIBC}return {call} >= 0")


ATTEMPTS: Final[list[Attempt]] = [
    Attempt(
        "own environment",
        "import os\nreturn 'canary' in str(dict(os.environ)) or [n for n in os.environ if 'REVERIE' in n]",
    ),
    read("environment of the instance", "f\"/proc/{t['host']}/environ\""),
    read("environment of another process", "f\"/proc/{t['bystander']}/environ\""),
    Attempt("memory of the instance", "return open(f\"/proc/{t['host']}/mem\", 'rb')"),
    Attempt("memory of the runner that forked it", "import os\nreturn open(f'/proc/{os.getppid()}/mem', 'rb+')"),
    Attempt(
        "memory of another script's process",
        "import os\nfor p in t['siblings']:\n    if os.access(f'/proc/{p}/mem', os.R_OK) and open(f'/proc/{p}/mem', 'rb'):\n        return p",
    ),
    kernel("memory by process_vm_readv", "libc.process_vm_readv(t['bystander'], None, 0, None, 0, 0)"),
    kernel("tracing of the runner", "libc.ptrace(16, __import__('os').getppid(), 0, 0)"),
    kernel("tracing of the instance", "libc.ptrace(16, t['host'], 0, 0)"),
    kernel("tracing of another script's process", "max(libc.ptrace(16, p, 0, 0) for p in t['siblings'])"),
    Attempt("map of the instance's memory", "return open(f\"/proc/{t['host']}/maps\").read()"),
    Attempt(
        "descriptors of the instance",
        "import os\nfor d in os.listdir(f\"/proc/{t['host']}/fd\"):\n    try:\n        return os.readlink(f\"/proc/{t['host']}/fd/{d}\")\n    except OSError:\n        pass",
    ),
    kernel("a descriptor of another process", "libc.syscall(438, libc.syscall(434, t['bystander'], 0), 0, 0)"),
    Attempt(
        "an inherited descriptor",
        "import os\nfor d in range(4, 256):\n    try:\n        if t['canary'].encode() in os.pread(d, 4096, 0):\n            return d\n    except OSError:\n        pass",
    ),
    Attempt(
        "the library's folder, and up from there",
        "import os\nfor d in range(100, 256):\n    try:\n        f = os.open('../../../../../../..' + t['open'], os.O_RDONLY, dir_fd=d)\n        return os.read(f, 100)\n    except OSError:\n        pass",
    ),
    read("the root of the instance by way of /proc", "f\"/proc/{t['host']}/root{t['secret']}\""),
    read("a file of the instance", "t['secret']"),
    read("a file that everyone may read", "t['open']"),
    read("a file by a symlink", "'link'", "import os\nos.symlink(t['open'], 'link')\n"),
    read("a file by a hard link", "'hard'", "import os\nos.link(t['open'], 'hard')\n"),
    read(
        "a file by a program", "'out'", "import subprocess\nsubprocess.run(['sh', '-c', f\"cat {t['open']} > out\"])\n"
    ),
    Attempt("the settings below /etc", "import os\nreturn os.listdir('/etc')"),
    Attempt("passwords of the system", "return open('/etc/shadow').read()"),
    Attempt("the folder of all temporary files", "import os\nreturn os.listdir('/tmp')"),
    Attempt("a file outside of its folder", "return open('/tmp/reverie-escape', 'w')"),
    Attempt("memory that all processes share", "return open('/dev/shm/reverie-escape', 'w')"),
    kernel("shared memory of System V", "libc.shmget(0x5245, 4096, 0o1666)"),
    kernel("a queue of System V", "libc.msgget(0x5245, 0o1666)"),
    kernel("the user's keyring", "libc.syscall(250, 0, -4, 1)"),
    Attempt("a signal to the instance", "import os\nos.kill(t['host'], 0)\nreturn 'sent'"),
    Attempt("a signal to another process", "import os\nos.kill(t['bystander'], 9)\nreturn 'sent'"),
    Attempt(
        "a signal to another script's process",
        "import os\nfor p in t['siblings']:\n    try:\n        os.kill(p, 9)\n        return p\n    except OSError:\n        pass",
    ),
    Attempt("another user", "import os\nos.setuid(0)\nreturn 'root'"),
    Attempt(
        "root by sudo or su",
        "import subprocess\nreturn subprocess.run('sudo -n id || su -c id root', shell=True, capture_output=True, stdin=subprocess.DEVNULL).stdout",
    ),
    kernel("a namespace of its own", "libc.unshare(0x10000000)"),
    Attempt(
        "a namespace by clone",
        f"{_LIBC}import os\npid = libc.syscall(56, 0x10000011, 0, 0, 0, 0)\nif pid == 0:\n    os._exit(0)\nreturn pid > 0",
    ),
    kernel("a mount", "libc.mount(b'none', b'.', b'tmpfs', 0, None)"),
    kernel("another root folder", "libc.chroot(b'.')"),
    kernel("a ring of calls past the filter", "libc.syscall(425, 1, ctypes.create_string_buffer(120))"),
    kernel("a program for the kernel", "libc.syscall(321, 5, ctypes.create_string_buffer(120), 120)"),
    kernel("a look at the machine's events", "libc.syscall(298, ctypes.create_string_buffer(120), 0, -1, -1, 0)"),
    Attempt("numbers of another kind of machine", f"{_LIBC}return libc.syscall(0x40000000 + 41, 2, 1, 0) >= 0"),
    kernel("life beyond its parent's", "-abs(libc.prctl(1, 0, 0, 0, 0))"),
    Attempt(
        "a filter that lets more through", f"{_LIBC}import socket\nlibc.prctl(22, 0, 0, 0, 0)\nreturn socket.socket()"
    ),
    Attempt("a connection to this host", "import socket\nreturn socket.create_connection(('127.0.0.1', t['port']), 1)"),
    Attempt("a connection over IPv6", "import socket\nreturn socket.create_connection(('::1', t['port']), 1)"),
    Attempt(
        "an HTTP call of its own",
        "import urllib.request\nreturn urllib.request.urlopen(f\"http://127.0.0.1:{t['port']}\", timeout=1)",
    ),
    Attempt(
        "a call to the metadata address of its own",
        "import socket\ntry:\n    return socket.create_connection(('169.254.169.254', 80), 0.2)\nexcept PermissionError:\n    return None\nexcept OSError as e:\n    return e",
    ),
    Attempt(
        "a datagram",
        f"{_SOCKET.format('socket.AF_INET, socket.SOCK_DGRAM')}return s.sendto(b'x', ('127.0.0.1', t['udp']))",
    ),
    Attempt("a raw socket", f"{_SOCKET.format('socket.AF_INET, socket.SOCK_RAW, 1')}return s"),
    Attempt("a netlink socket", f"{_SOCKET.format('socket.AF_NETLINK, socket.SOCK_RAW, 0')}return s"),
    Attempt("a socket with a path", f"{_SOCKET.format('socket.AF_UNIX')}s.connect(t['unix'])\nreturn s"),
    Attempt(
        "a socket with an abstract name",
        f"{_SOCKET.format('socket.AF_UNIX')}s.connect('\\0' + t['abstract'])\nreturn s",
    ),
    Attempt(
        "a pair of datagram sockets sent elsewhere",
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nreturn a.sendto(b'x', t['letters'])",
    ),
    Attempt(
        "a pair of sockets connected elsewhere",
        "import socket\na, b = socket.socketpair()\nb.close()\na.connect(t['unix'])\nreturn a",
    ),
    Attempt("a group of its own, to outlive the run", "import os\nos.setsid()\nreturn 'left'"),
    Attempt(
        "a daemon", "import subprocess\nreturn subprocess.Popen(['sleep', t['marker']], start_new_session=True).pid"
    ),
    Attempt(
        "an orphan that outlives the run",
        "import os, subprocess\nif os.fork() == 0:\n    subprocess.Popen(['sleep', t['marker']])\n    os._exit(0)\nos.wait()",
        find="return t['left']",
        by="own",
        alone=True,
    ),
    Attempt(
        "an orphan that outlives the runner",
        "import os, subprocess\nsubprocess.Popen(['sleep', t['marker']])\nos.kill(os.getppid(), 9)",
        find="return t['left']",
        by="own",
        alone=True,
    ),
    *calls(
        lambda url: (
            'r = str(platform.api.get(f"'
            + url.replace("{port}", "{t['port']}")
            + f"\"))\nreturn not re.search('{REFUSED}', r) and r"
        )
    ),
    left(
        "a global left for the next run",
        "import builtins, json\nbuiltins.left = 1\njson.left = 1\nglobals()['left'] = 1",
        "import builtins, json\nreturn hasattr(builtins, 'left') or hasattr(json, 'left')",
        always=True,
    ),
    left(
        "a file left for the next run",
        "open('left', 'w').write('x')",
        "import os\nreturn os.path.exists('left')",
        always=True,
    ),
    left(
        "the environment left for the next run",
        "import os\nos.environ['LEFT'] = '1'",
        "import os\nreturn os.environ.get('LEFT')",
        always=True,
    ),
    left(
        "a thread that goes on in the next run",
        "import threading, time, builtins\nthreading.Thread(target=lambda: (time.sleep(5), setattr(builtins, 'beat', 1))).start()",
        "import builtins, threading\nreturn hasattr(builtins, 'beat') or threading.active_count() > 1",
        always=True,
    ),
    left(
        "objects of the runner by the garbage collector",
        "import gc\nfor o in gc.get_objects():\n    if type(o) is dict and 'PRELOADED' in o and 'take_one' in o:\n        o['left'] = 1",
        "import gc\nreturn any(type(o) is dict and 'take_one' in o and 'left' in o for o in gc.get_objects())",
        always=True,
    ),
    Attempt(
        "a frame forged to hear the next run's event",
        r"""
import os, struct, time
for body in (b'{"type":"result","event":{}}', b'{"type":"ended","code":0}'):
    os.write(3, struct.pack('>I', len(body)) + body)
os.set_blocking(3, False)
end = time.time() + 0.6
while time.time() < end:
    try:
        if b'hush' in os.read(3, 65536):
            os.write(1, b'HEARD')
            time.sleep(5)
    except BlockingIOError:
        time.sleep(0.005)
""",
        find="return False",
        by="own",
        alone=True,
    ),
    Attempt(
        "a fork that hears the next run's event",
        r"""
import os, time
if os.fork() == 0:
    os.set_blocking(3, False)
    end = time.time() + 0.6
    while time.time() < end:
        try:
            if b'hush' in os.read(3, 65536):
                os.write(1, b'HEARD')
                time.sleep(5)
        except BlockingIOError:
            time.sleep(0.005)
    os._exit(0)
""",
        find="return False",
        by="own",
        alone=True,
    ),
]
