"""The outbox: mail that commits with the application's own transaction."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

OUTBOX = Path(__file__).parents[1] / "outbox.sql"
"""The same file makes an outbox in an application's own database."""


def upgrade() -> None:
    for statement in OUTBOX.read_text().split("\n\n"):
        op.execute(statement)
