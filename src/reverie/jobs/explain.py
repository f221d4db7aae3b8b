"""Why a job is not running, in one sentence, and when it is expected to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reverie.clock import Clock, text_of
from reverie.jobs.ledger import Holder, WorkerRecord
from reverie.jobs.queue import Queue
from reverie.jobs.signals import Signals
from reverie.jobs.stats import QueueStats, Stats, is_alive, of_job, serving, stats
from reverie.model import Job, JobStatus
from reverie.store.scripts import event_script_by_name
from reverie.store.services import service_by_id
from reverie.store.store import Store

LONELY_FROM: Final = 2
"""Crashes after which a job runs without neighbours, as the worker has it."""
_ENOUGH: Final = 300
"""Characters of an error in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One sentence; `expected_at` is the Unix time at which the job is expected to begin, None where nobody knows."""

    sentence: str
    expected_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an explanation rests on.

    Attributes:
        ahead: jobs that are taken before it.
        languages: what each worker runs, as far as workers have said so; `language` what the job needs, if known.
    """

    now: float
    stats: Stats
    holder: Holder | None = None
    ahead: int = 0
    languages: dict[str, frozenset[str]]
    language: str | None = None


async def explain(
    queue: Queue, job: Job, signals: Signals, clock: Clock, *, language: str | None = None
) -> Explanation:
    """Look at what there is, and say it.

    Args:
        language: of the job's script, as `language_of` tells it; None leaves it out of account.

    Raises:
        QueueUnavailable
    """
    now = clock.now()
    waits = job.status in (JobStatus.WAITING, JobStatus.DELAYED)
    facts = Facts(
        now=now,
        stats=await stats(queue, signals, now),
        holder=await queue.ledger.holder(job.id) if job.status is JobStatus.RUNNING else None,
        ahead=await queue.ledger.ahead(job) if waits else 0,
        languages=await signals.languages(),
        language=language,
    )
    return explained(job, facts)


def explained(job: Job, facts: Facts) -> Explanation:
    match job.status:
        case JobStatus.RUNNING:
            return _running(job, facts)
        case JobStatus.WAITING | JobStatus.DELAYED:
            return _waiting(job, facts)
        case _:
            return Explanation(sentence=_ended(job))


async def language_of(store: Store, job: Job) -> str | None:
    """The language of the script that a job runs, as it is stored now; None where there is none.

    Raises:
        StoreUnavailable
    """
    match job.kind:
        case "script.service":
            service = await service_by_id(store, int(job.script.removeprefix("service:")))
            return None if service is None else service.type
        case "script.event":
            script = await event_script_by_name(store, job.script)
            return None if script is None else script.type
        case _:
            return None


def _ended(job: Job) -> str:
    at = _at(job.finished_at or 0.0)
    match job.status:
        case JobStatus.DONE:
            return f"It is done: its script ran to its end at {at}."
        case JobStatus.CANCELLED:
            return f"Somebody cancelled it at {at}; `reverie queue retry {job.id}` runs it after all."
        case JobStatus.SKIPPED:
            return f"There was nothing to run when its turn came at {at}: {_message(job)}."
        case _:
            times = f"{_many(job.attempts, 'try', 'tries')} and {_many(job.crashes, 'crash', 'crashes')}"
            again = f"`reverie queue retry {job.id}` runs it again"
            return f"It has failed at {at}, after {times}: {_message(job)}; {again}."


def _running(job: Job, facts: Facts) -> Explanation:
    holder = facts.holder
    if holder is None:
        return Explanation(sentence="It was running a moment ago; ask again.", expected_at=facts.now)
    if holder.leased_until < facts.now:
        sentence = f"The worker {holder.worker}, which ran it, has let its lease end at {_at(holder.leased_until)}"
        if any(is_alive(one, facts.now) for one in facts.stats.workers):
            return Explanation(sentence=f"{sentence}; it is due again within seconds.", expected_at=facts.now)
        return Explanation(sentence=f"{sentence}, and no worker is there to take it back: start one.")
    if holder.began is None:
        sentence = f"The worker {holder.worker} has taken it, and its script is about to begin."
        return Explanation(sentence=sentence, expected_at=facts.now)
    lasted = _seconds(facts.now - holder.began)
    return Explanation(
        sentence=f"It is running on the worker {holder.worker} since {_at(holder.began)}, for {lasted} now."
    )


def _waiting(job: Job, facts: Facts) -> Explanation:
    obstacles = list(_obstacles(job, facts))
    due = _due(job, facts)
    if obstacles:
        return Explanation(sentence=f"It waits because {'; and '.join(obstacles)}{f'. {due}' if due else ''}.")
    if due:
        alone = f"; {_alone(job)}" if job.crashes >= LONELY_FROM else ""
        return Explanation(sentence=f"{due}{alone}.", expected_at=job.due_at)
    return _turn(job, facts)


def _obstacles(job: Job, facts: Facts) -> list[str]:
    """What must be done by somebody before the job can run."""
    found: list[str] = []
    where = f"the queue {job.queue!r} of the connection {job.connection!r}"
    able = serving(facts.stats.workers, job.connection, job.queue, facts.now)
    if not able:
        start = f"`reverie queue work {job.connection} --queue={job.queue}` serves it"
        found.append(f"no worker serves {where}: {start}")
    elif not _speak(able, facts):
        found.append(f"no worker that serves {where} runs {facts.language}: install it where a worker runs")
    known = of_job(facts.stats, job)
    if known is not None and known.paused:
        found.append(f"{where} is paused: `reverie queue resume {job.connection}:{job.queue}` lets it go on")
    if facts.stats.maintenance:
        found.append("maintenance mode is on: `reverie maintenance off` ends it")
    return found


def _speak(able: Sequence[WorkerRecord], facts: Facts) -> bool:
    """Whether one of these workers runs the job's language, or may do so."""
    language = facts.language
    return language is None or any(language in facts.languages.get(one.name, {language}) for one in able)


def _due(job: Job, facts: Facts) -> str:
    """Why it is not due yet, without a full stop; ``""`` when it is."""
    if job.due_at <= facts.now:
        return ""
    when = f"{_at(job.due_at)}, in {_seconds(job.due_at - facts.now)}"
    if job.error is None or job.attempts + job.crashes == 0:
        return f"It was queued with a delay and is due at {when}"
    lost = f"crash {job.crashes}" if _kind(job) in ("WorkerLost", "ScriptCrashed") else f"try {job.attempts}"
    return f"It ended with an error at {lost} ({_message(job)}) and is tried again at {when}"


def _turn(job: Job, facts: Facts) -> Explanation:
    known = of_job(facts.stats, job)
    speed = None if known is None else known.speed.per_second
    ahead = _many(facts.ahead, "job", "jobs")
    tail = f"; {_alone(job)}" if job.crashes >= LONELY_FROM else ""
    if facts.ahead == 0:
        sentence = f"It is due and next in its queue: a worker takes it as soon as one has a free place{tail}."
        return Explanation(sentence=sentence, expected_at=facts.now + _until_a_place(known))
    if speed is None:
        return Explanation(
            sentence=f"It is due with {ahead} ahead of it, and none has ended in the last five minutes{tail}."
        )
    wait = facts.ahead / speed
    sentence = f"It is due with {ahead} ahead of it; at {speed:.3g} a second its turn comes in {_seconds(wait)}{tail}."
    return Explanation(sentence=sentence, expected_at=facts.now + wait)


def _until_a_place(known: QueueStats | None) -> float:
    """Seconds until one of those that run makes room, by how long they ran of late."""
    if known is None or not known.jobs.get(JobStatus.RUNNING):
        return 0.0
    return known.speed.present.ran or 0.0


def _alone(job: Job) -> str:
    return f"it was lost with its process {job.crashes} times, so it runs alone, when nothing else does"


def _kind(job: Job) -> str:
    return str(job.error.get("type")) if isinstance(job.error, dict) else ""


def _message(job: Job) -> str:
    error = job.error.get("message") if isinstance(job.error, dict) else job.error
    text = " ".join(str(error or "no reason was kept").split()).rstrip(".")
    return text if len(text) <= _ENOUGH else f"{text[:_ENOUGH]}..."


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _at(moment: float) -> str:
    return f"{text_of(moment)} UTC"


def _seconds(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h`` or ``2 days``, in whichever says enough."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"
