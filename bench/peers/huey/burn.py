"""huey on SQLite: ``burn.py PATH JOBS PAYLOAD EFFECTS``. One thread that runs what waits, every commit durable."""

import json
import os
import resource
import sys
import time

from huey import SqliteHuey

path, jobs, payload, effects = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
queue = SqliteHuey(filename=path, fsync=True, journal_mode="wal", results=False, utc=True)
file = os.open(effects, os.O_CREAT | os.O_WRONLY | os.O_APPEND)


@queue.task()
def empty(pad: str) -> None:
    os.write(file, b".")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


for count in (max(50, jobs // 10), jobs):
    for _ in range(count):
        empty("x" * payload)
    cpu, began = cpu_seconds(), time.perf_counter()
    ran = 0
    while (task := queue.dequeue()) is not None:  # what its consumer's worker threads do
        queue.execute(task)
        ran += 1
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
print(json.dumps({"rate": jobs / seconds, "cpu": cpu / jobs * 1000, "ran": ran}))
