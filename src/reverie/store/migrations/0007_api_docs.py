"""The service that describes the others; in the table too, so that a role can name it."""

from __future__ import annotations

import time

from alembic import op

from reverie.clock import text_of

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
additive = True

# Somebody may have a service of that name; it stays what it is.
_ADD = """
INSERT INTO service
    (name, label, description, type, is_active, mutable, deletable, created_date, last_modified_date)
SELECT 'api_docs', 'API Docs', 'OpenAPI documents of the services.', 'api_docs', TRUE, FALSE, FALSE, 'NOW', 'NOW'
WHERE NOT EXISTS (SELECT 1 FROM service WHERE name = 'api_docs')
"""


def upgrade() -> None:
    op.execute(_ADD.replace("NOW", text_of(time.time())))
    op.execute("UPDATE settings_version SET version = version + 1")
