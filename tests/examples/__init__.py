"""Tests as users of mailproxy.testing write them."""
