"""Every table of the platform's own database, once.

Booleans are stored as the database has them, dates as text ``YYYY-MM-DD HH:MM:SS`` in UTC (as the API writes them),
JSON as text. Times of jobs are Unix seconds, since they are compared and added to.

Ids of users, roles, apps and services are never given out twice: jobs and tokens name them long after.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from reverie.store.columns import flag as _flag
from reverie.store.columns import id_column as _id
from reverie.store.columns import metadata as metadata
from reverie.store.columns import stamps as _stamps
from reverie.store.script_tables import job_version as job_version
from reverie.store.script_tables import script_capture as script_capture
from reverie.store.script_tables import script_count as script_count
from reverie.store.script_tables import script_fixture as script_fixture
from reverie.store.script_tables import script_version as script_version
from reverie.store.script_tables import script_watch as script_watch

# One row: `version` grows with every change of settings (never of jobs); what is kept in memory is of one version.
settings_version = Table(
    "settings_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# Facts of the instance by name: set-up link, time of the last restart order ...
fact = Table(
    "fact",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", Text),
)

# Administrators and users alike; `is_sys_admin` tells them apart.
user = Table(
    "user",
    metadata,
    _id(),
    Column("name", String(128), nullable=False),
    Column("username", String(128), unique=True),
    Column("first_name", String(64)),
    Column("last_name", String(64)),
    Column("email", String(255), nullable=False, unique=True),  # lower case
    Column("password", Text),  # argon2id
    _flag("is_sys_admin"),
    _flag("is_active", default=True),
    Column("phone", String(32)),
    Column("security_question", String(128)),
    Column("security_answer", Text),
    Column("default_app_id", Integer),
    Column("oauth_provider", String(64)),
    Column("adldap", String(64)),
    Column("ldap_username", String(128)),
    Column("confirm_code", String(64)),
    Column("last_login_date", String(32)),
    *_stamps(),
    sqlite_autoincrement=True,
)

role = Table(
    "role",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("description", String(255)),
    _flag("is_active"),
    *_stamps(),
    sqlite_autoincrement=True,
)

role_service_access = Table(
    "role_service_access",
    metadata,
    _id(),
    Column("role_id", ForeignKey("role.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("service_id", ForeignKey("service.id", ondelete="CASCADE"), index=True),
    Column("component", String(255)),
    Column("verb_mask", Integer, nullable=False, server_default="0"),
    Column("requestor_mask", Integer, nullable=False, server_default="0"),
    Column("filters", Text),  # JSON list of {"name", "operator", "value"}
    Column("filter_op", String(32), nullable=False, server_default="AND"),
    *_stamps(),
)

app = Table(
    "app",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("api_key", String(255), unique=True),
    Column("description", String(255)),
    _flag("is_active"),
    Column("type", Integer, nullable=False, server_default="0"),
    Column("path", String(255)),
    Column("url", String(255)),
    Column("storage_service_id", Integer),
    Column("storage_container", String(255)),
    _flag("requires_fullscreen"),
    _flag("allow_fullscreen_toggle", default=True),
    Column("toggle_location", String(64), nullable=False, server_default="top"),
    Column("role_id", ForeignKey("role.id", ondelete="SET NULL")),
    *_stamps(),
    sqlite_autoincrement=True,
)

user_to_app_to_role = Table(
    "user_to_app_to_role",
    metadata,
    _id(),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("app_id", ForeignKey("app.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role_id", ForeignKey("role.id", ondelete="CASCADE"), nullable=False, index=True),
    UniqueConstraint("user_id", "app_id"),
)

# Sessions by the id of their token: to end one, or all of a user.
session = Table(
    "session",
    metadata,
    Column("jti", String(64), primary_key=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),  # Unix seconds after which the row may be forgotten
    _flag("is_revoked"),
)

service = Table(
    "service",
    metadata,
    _id(),
    Column("name", String(40), nullable=False, unique=True),  # lower case
    Column("label", String(80), nullable=False),
    Column("description", String(255)),
    _flag("is_active"),
    Column("type", String(40), nullable=False),
    Column("config", Text),  # JSON map; secrets in it sealed
    _flag("mutable", default=True),
    _flag("deletable", default=True),
    Column("version", Integer, nullable=False, server_default="1"),  # grows with every change
    *_stamps(),
    sqlite_autoincrement=True,
)

# What `_schema` keeps beside a database: labels, aliases, validation, virtual relations. Names are in lower case.
sql_extra = Table(
    "sql_extra",
    metadata,
    Column("service_id", ForeignKey("service.id", ondelete="CASCADE"), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("kind", String(8), primary_key=True),  # table, field, relation
    Column("name", String(255), primary_key=True),  # of the field or relation; empty for the table itself
    Column("properties", Text, nullable=False),  # JSON map
)

service_doc = Table(
    "service_doc",
    metadata,
    Column("service_id", ForeignKey("service.id", ondelete="CASCADE"), primary_key=True),
    Column("format", Integer, nullable=False, server_default="0"),  # 0 JSON, 1 YAML
    Column("content", Text),
    *_stamps(),
)

event_script = Table(
    "event_script",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("lower_name", String(255), nullable=False, unique=True),  # names match in any case
    Column("type", String(40), nullable=False),
    Column("content", Text),
    Column("config", Text),  # JSON of what was sent, a map or a text
    Column("storage_service_id", Integer),
    Column("storage_path", String(255)),
    Column("scm_repository", String(255)),
    Column("scm_reference", String(255)),
    _flag("is_active"),
    _flag("allow_event_modification"),
    Column("version", Integer, nullable=False, server_default="1"),
    *_stamps(),
)

# Lookups of the instance (all three owners null), of a user, a role or an app.
lookup = Table(
    "lookup",
    metadata,
    _id(),
    Column("app_id", ForeignKey("app.id", ondelete="CASCADE"), index=True),
    Column("role_id", ForeignKey("role.id", ondelete="CASCADE"), index=True),
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), index=True),
    Column("name", String(255), nullable=False),
    Column("value", Text),  # sealed when private
    _flag("private"),
    Column("description", Text),
    *_stamps(),
)

# The scratch map of scripts (`platform.store`).
script_value = Table(
    "script_value",
    metadata,
    Column("script", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text),  # JSON
    Column("expires_at", Float, nullable=False),  # Unix seconds
)

# -- jobs: the narrow table moves, the wide one is written once

job = Table(
    "job",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("script", String(255), nullable=False),
    Column("name", String(300), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("queue", String(128), nullable=False),
    Column("status", String(12), nullable=False),  # waiting, running, done, failed, cancelled, skipped
    Column("priority", Integer, nullable=False),
    Column("delay", Float),
    Column("tries", Integer),
    Column("timeout", Float),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("hops", Integer, nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Column("verb", String(10), nullable=False, server_default=""),
    Column("service", String(64), nullable=False, server_default=""),
    Column("user_id", Integer),
    Column("role_id", Integer),
    Column("app_id", Integer),
    Column("trace", String(55), nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("leased_until", Float),
    Column("worker", String(80)),  # who holds the lease, or held the last one
    Column("started_at", Float),  # when the script began under this lease; null: a lost lease costs nothing
    Column("finished_at", Float),
    Column("error", Text),  # JSON of the last error
    sqlite_with_rowid=False,
)
Index(
    "ix_job_waiting",
    job.c.connection,
    job.c.queue,
    job.c.priority.desc(),
    job.c.due_at,
    job.c.id,
    sqlite_where=job.c.status == "waiting",
    postgresql_where=job.c.status == "waiting",
)
Index(
    "ix_job_running",
    job.c.leased_until,
    sqlite_where=job.c.status == "running",
    postgresql_where=job.c.status == "running",
)
# Partial, so that a claim and a release need not touch it.
Index(
    "ix_job_ended",
    job.c.status,
    job.c.finished_at,
    sqlite_where=job.c.finished_at.is_not(None),
    postgresql_where=job.c.finished_at.is_not(None),
)

job_payload = Table(
    "job_payload",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("payload", LargeBinary, nullable=False),  # sealed event, caller and environment
)

job_result = Table(
    "job_result",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("result", LargeBinary, nullable=False),  # sealed answer of the run
)

job_key = Table(
    "job_key",
    metadata,
    Column("key", String(64), primary_key=True),  # digest of who sent it and what
    Column("digest", String(64), nullable=False),  # of the call
    Column("job_id", String(36), nullable=False),
    Column("expires_at", Float, nullable=False),
)
Index("ix_job_key_expires_at", job_key.c.expires_at)

job_attempt = Table(
    "job_attempt",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("worker", String(80)),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("outcome", String(12), nullable=False),  # done, failed, retried, crashed, released, skipped
    Column("error", Text),  # JSON
    Column("output", Text),
    sqlite_with_rowid=False,
)

# Queues nobody may take from, and connections' names seen.
queue_pause = Table(
    "queue_pause",
    metadata,
    Column("connection", String(64), primary_key=True),
    Column("queue", String(128), primary_key=True),
    Column("paused_at", Float, nullable=False),
)

# Workers that are alive say so here.
worker = Table(
    "worker",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("process", Integer, nullable=False),
    Column("connection", String(64)),  # null: every connection
    Column("queues", Text),  # comma list; null: every queue
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)

# What workers have counted, for /metrics. Sums of all of them, ended ones too, have no worker; a gauge has its own.
worker_metric = Table(
    "worker_metric",
    metadata,
    Column("worker", String(80), primary_key=True),
    Column("series", String(64), primary_key=True),
    Column("labels", String(400), primary_key=True),  # JSON list of the labels' values
    Column("value", Float, nullable=False),
)
