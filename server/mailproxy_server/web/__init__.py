"""The HTTP port: metrics and health, and the page that people look at.

On the floor of `rpc`: what a page shows comes from the rooms below, and what it does goes through
the same servicers as any call, which `app` hands in. One process of a run serves it.
"""
