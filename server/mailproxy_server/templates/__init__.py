"""Templates of all tenants: kept here, and rendered in processes of their own.

What a template may do is decided in `engine`, which runs in a `worker` only; `kitchen` owns the
workers, and ends one that takes too long.
"""
