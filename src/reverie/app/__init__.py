"""Builds the platform from Settings; the only package that names a driver.

building.py   everything, made once and wired
drivers.py    which driver serves what the settings say
seen.py       what scripts see of the platform
warming.py    which languages have a child ready
working.py    a worker, or the queue alone
"""

from __future__ import annotations

from reverie.app.building import build, sealer_of
from reverie.app.drivers import job_brokers, job_drivers
from reverie.app.working import open_desk, open_queue, run_worker, table_names, work_until

__all__ = [
    "build", "job_brokers", "job_drivers", "open_desk", "open_queue", "run_worker", "sealer_of", "table_names",
    "work_until",
]  # fmt: skip
