"""The job of rq, which imports it by name."""

import os

_file = os.open(os.environ["BENCH_EFFECTS"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)


def empty(pad: str) -> None:
    os.write(_file, b".")
