"""What python3 scripts find loaded, before root is given up. Loaded by launch.py; needs nothing of reverie."""

import contextlib
import fcntl
import importlib
import os
import sys

# Each library of C costs every fork some 20 us, since its pieces of memory are copied one by one; so only the common.
# fmt: off
PRELOADED = (
    "abc", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "decimal", "enum", "functools", "hashlib", "heapq", "hmac", "html", "io", "itertools", "json", "logging", "math",
    "operator", "pathlib", "random", "re", "secrets", "string", "textwrap", "time", "traceback", "types", "typing",
    "urllib.parse", "uuid", "zlib",
)
# fmt: on
FOR_SOCKETS = ("email.message", "http.client", "ssl", "urllib.request")


def prepare(sockets):
    """Load what scripts commonly use, with *sockets* also what needs them, and keep the library within reach.

    The interpreter may lie where `nobody` cannot go. A folder opened now can be walked by its descriptor later, so that
    is how the library is then named. Returns its folders.
    """
    if os.geteuid() == 0:
        folders = {path: f"/proc/self/fd/{opened(path)}" for path in sys.path if walled(path)}
        sys.path[:] = [folders.get(path, path) for path in sys.path]
        for module in list(sys.modules.values()):
            if isinstance(getattr(module, "__path__", None), list):
                module.__path__[:] = [moved(path, folders) for path in module.__path__]
    sys.dont_write_bytecode = True
    sys.path_importer_cache.clear()
    for name in (*PRELOADED, *(FOR_SOCKETS if sockets else ())):
        with contextlib.suppress(ImportError):  # an interpreter built without it
            importlib.import_module(name)
    return [path for path in sys.path if os.path.exists(path)]


def opened(path):
    """A descriptor of the folder, above all that launch.py moves about."""
    low = os.open(path, os.O_PATH)
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(low)
    return high


def walled(path):
    """True for a folder below one that only its owner may walk through."""
    if not os.path.isdir(path):
        return False
    path = os.path.realpath(path)
    while os.stat(path).st_mode & 0o001:
        if path == "/":
            return False
        path = os.path.dirname(path)
    return True


def moved(path, folders):
    for folder, name in folders.items():
        if path == folder or path.startswith(folder + "/"):
            return name + path[len(folder) :]
    return path
