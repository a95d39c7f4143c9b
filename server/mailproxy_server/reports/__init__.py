"""Delivery reports on their way to who follows them.

One tail a replica reads what is new for each tenant that somebody follows; each stream
filters that, and only who is behind the tail's ring pages by SQL. A slow consumer falls
behind; it holds nobody up and nothing is kept for it.
"""
