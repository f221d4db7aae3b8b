"""procrastinate: ``burn.py URL JOBS PAYLOAD CONCURRENCY EFFECTS``. A worker that ends when nothing is left."""

import asyncio
import json
import os
import resource
import sys
import time

import procrastinate

url, jobs, payload, concurrency, effects = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=concurrency + 4))
file = os.open(effects, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
ran = 0


@app.task(name="empty")
async def empty(pad: str) -> None:
    global ran
    os.write(file, b".")
    ran += 1


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def fill(count: int) -> None:
    pad = "x" * payload
    for first in range(0, count, 500):
        await empty.batch_defer_async(*({"pad": pad} for _ in range(min(500, count - first))))


async def main() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for count in (max(50, jobs // 10), jobs):
            await fill(count)
            cpu, began = cpu_seconds(), time.perf_counter()
            await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
            seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    print(json.dumps({"rate": jobs / seconds, "cpu": cpu / jobs * 1000, "ran": ran}))


asyncio.run(main())
