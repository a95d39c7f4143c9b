"""As in an application's own conftest.py, where it is `pytest_plugins = ["mailproxy.testing"]`."""

from mailproxy.testing import mail_proxy as mail_proxy
from mailproxy.testing import mail_proxy_server as mail_proxy_server
