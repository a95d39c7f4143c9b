"""The first tenant and its token, on an empty database."""

import structlog

from mailproxy_server.accounts.tenants import Tenants, new_token
from mailproxy_server.app.datadir import DataDir, locate
from mailproxy_server.settings import Settings

log = structlog.get_logger()


async def make(settings: Settings, tenants: Tenants) -> None:
    """On an empty database make the first tenant and its token, and write the token down."""
    given = settings.bootstrap_token
    if given is not None:
        await tenants.bootstrap(given.get_secret_value())
        return
    token, data = new_token(), DataDir.open(locate(settings.data_dir))
    if await tenants.bootstrap(token, keep=lambda: data.write_token(token)):
        log.info(
            "made the tenant `default`; its token is in the data directory",
            file=str(data.path / "token"),
        )
