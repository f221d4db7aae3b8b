"""Keeps python3 scripts compiled. Loaded by launch.py; needs nothing of reverie.

A child hands what it has compiled to the parent that forked it, and the next child has it. The way is closed before the
script runs, so that no script can put something there.
"""

import contextlib
import marshal
import os
import select
import struct
import warnings

MOST = 64  # scripts
LARGEST_CODE = 60_000  # bytes; a pipe holds 64 KiB while nobody reads


class Known:
    def __init__(self):
        self.codes = {}
        self.reads, self.writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poll = select.poll()
        self.poll.register(self.reads, select.POLLIN)

    def compiled(self, text, compile_script):
        """The code of a script. In the child, once, right before the script runs."""
        try:
            code = self.codes.get(text)
            if code is None:
                code = self.compile(text, compile_script)
            return code
        finally:
            os.close(self.reads)
            os.close(self.writes)

    def compile(self, text, compile_script):
        with warnings.catch_warnings(record=True) as heard:
            code = compile_script(text)
        if heard:
            return compile_script(text)  # says it to the log, as each run shall
        body = marshal.dumps((text, code))
        if len(body) <= LARGEST_CODE:
            with contextlib.suppress(OSError):  # no room: the next child compiles it again
                os.write(self.writes, struct.pack(">I", len(body)) + body)
        return code

    def learn(self):
        """Take what the last child has compiled, if anything. In the parent."""
        if not self.poll.poll(0):
            return
        given = os.read(self.reads, 1 << 17)
        if len(given) < 4 or len(given) - 4 != struct.unpack(">I", given[:4])[0]:
            return  # the child was killed meanwhile
        text, code = marshal.loads(given[4:])
        if len(self.codes) >= MOST:
            del self.codes[next(iter(self.codes))]
        self.codes[text] = code
