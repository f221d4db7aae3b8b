"""On PostgreSQL: text compared byte by byte, vacuum that keeps up with a queue, and word of changed settings.

Nothing on other databases. The texts of jobs get the collation C: ids and names of queues are compared on the hot
path, and an index on them must not depend on the locale of the host. Their lengths are not limited, as on SQLite.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXTS = {
    "job": "id kind script name connection queue status verb service trace worker",
    "job_payload": "job_id",
    "job_result": "job_id",
    "job_key": "key digest job_id",
    "job_attempt": "job_id worker outcome",
    "queue_pause": "connection queue",
    "worker": "name host connection",
}

# Each job leaves three dead rows; a fifth of the table, the default, would be far too late. Statistics too: a plan made
# for an empty table reads all of a full one.
_BUSY = (
    "fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,"
    " autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 200,"
    " autovacuum_vacuum_cost_limit = 2000, autovacuum_vacuum_cost_delay = 2"
)
_APPENDED = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000"

_TELL = """
CREATE FUNCTION reverie_settings_moved() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('reverie_settings', ''); RETURN NULL; END $$
"""


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for table, columns in _TEXTS.items():
        changes = ", ".join(f'ALTER COLUMN {name} TYPE text COLLATE "C"' for name in columns.split())
        op.execute(f"ALTER TABLE {table} {changes}")
    op.execute(f"ALTER TABLE job SET ({_BUSY})")
    for table in ("job_payload", "job_result", "job_attempt"):
        op.execute(f"ALTER TABLE {table} SET ({_APPENDED})")
    # Payloads are sealed: compressing them again only costs time.
    op.execute("ALTER TABLE job_payload ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE job_result ALTER COLUMN result SET STORAGE EXTERNAL")
    op.execute(_TELL)
    op.execute(
        "CREATE TRIGGER settings_moved AFTER UPDATE ON settings_version"
        " FOR EACH STATEMENT EXECUTE FUNCTION reverie_settings_moved()"
    )
