"""Speaks SMTP to relays: pools of connections, one transaction each at a time, transcripts.

Facts go up from here, judgements do not: what a transcript means is `policy.classify`'s.
"""
