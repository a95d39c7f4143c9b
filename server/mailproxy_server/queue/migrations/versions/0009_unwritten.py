"""What dispatchers know and could not write yet, as they tell with their heartbeat."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        """ALTER TABLE mailproxy.workers
           ADD COLUMN unwritten integer NOT NULL DEFAULT 0,
           ADD COLUMN unwritten_seconds double precision NOT NULL DEFAULT 0"""
    )
    op.execute(
        """COMMENT ON COLUMN mailproxy.workers.unwritten IS
           'outcomes that it knows and that the database did not take yet'"""
    )
