"""rq: ``burn.py PORT JOBS PAYLOAD simple|fork``. SimpleWorker runs jobs in itself, Worker forks for each."""

import json
import logging
import resource
import sys
import time

from empty import empty
from redis import Redis
from rq import Queue, SimpleWorker, Worker

port, jobs, payload, kind = *map(int, sys.argv[1:4]), sys.argv[4]
logging.disable(logging.INFO)
connection = Redis(port=port)
queue = Queue("bench", connection=connection)


def cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


for count in (max(20, jobs // 10), jobs):
    queue.enqueue_many([Queue.prepare_data(empty, ("x" * payload,), result_ttl=0) for _ in range(count)])
    worker = (SimpleWorker if kind == "simple" else Worker)([queue], connection=connection)
    cpu, began = cpu_seconds(), time.perf_counter()
    worker.work(burst=True, logging_level="WARNING")
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
print(json.dumps({"rate": jobs / seconds, "cpu": cpu / jobs * 1000, "ran": jobs - queue.count}))
