"""The tables about scripts: what they were, what they met, and what they are expected to do."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from reverie.store.columns import id_column, metadata, stamps

# Each save of an event script or script service; the columns hold what the record held.
script_version = Table(
    "script_version",
    metadata,
    id_column(),
    Column("script", String(255), nullable=False),  # the event's name in lower case, or service:<id>
    Column("name", String(255), nullable=False),  # for people
    Column("number", Integer, nullable=False),  # the record's `version`
    Column("type", String(40), nullable=False),
    Column("content", Text),  # of an event script; that of a service stands in its config
    Column("config", Text),
    Column("is_active", Boolean),
    Column("allow_event_modification", Boolean),
    Column("storage_service_id", Integer),
    Column("storage_path", String(255)),
    Column("scm_repository", String(255)),
    Column("scm_reference", String(255)),
    Column("created_date", String(32), nullable=False),
    Column("created_by_id", Integer),
    UniqueConstraint("script", "number"),
)

# How its runs ended; sums of all processes.
script_count = Table(
    "script_count",
    metadata,
    Column("script", String(255), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("runs", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("refusals", BigInteger, nullable=False),  # the script said no, with a status below 500
    Column("last_failed_at", Float),
    Column("last_error", Text),  # JSON
)

# Scripts and events whose events are kept for a while.
script_watch = Table(
    "script_watch",
    metadata,
    Column("script", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("keep", Integer, nullable=False),
    Column("hours", Float, nullable=False),
    Column("expires_at", Float, nullable=False),  # Unix seconds after which nothing more is kept
    Column("created_date", String(32), nullable=False),
    Column("created_by_id", Integer),
)

script_capture = Table(
    "script_capture",
    metadata,
    id_column(),
    Column("script", String(255), nullable=False),
    Column("captured_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("outcome", String(12), nullable=False),  # done, failed, refused; seen: no script ran
    Column("number", Integer),  # the version of the script that ran
    Column("verb", String(10), nullable=False),
    Column("uri", String(255), nullable=False),
    Column("status", Integer),  # of the answer that the event holds
    Column("user_id", Integer),
    Column("app_id", Integer),
    Column("request_id", String(64), nullable=False),
    Column("job_id", String(36)),
    Column("size", Integer, nullable=False),  # bytes of what is sealed
    Column("content", LargeBinary, nullable=False),  # sealed event, caller and calls of the run
)
Index("ix_script_capture_script", script_capture.c.script, script_capture.c.id)
Index("ix_script_capture_job_id", script_capture.c.job_id)
Index("ix_script_capture_expires_at", script_capture.c.expires_at)

# Events kept with what a script is expected to make of them.
script_fixture = Table(
    "script_fixture",
    metadata,
    id_column(),
    Column("script", String(255), nullable=False),
    Column("name", String(120), nullable=False),
    Column("content", LargeBinary, nullable=False),  # sealed event, caller, calls and expectation
    *stamps(),
    UniqueConstraint("script", "name"),
)

# Jobs that a retry runs with the script as it was when they were queued.
job_version = Table(
    "job_version",
    metadata,
    Column("job_id", String(36), primary_key=True),
)
