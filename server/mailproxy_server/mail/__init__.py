"""Words of mail: addresses, replies, transcripts, the states of a delivery.

Pure: no clock, no randomness, no I/O. Everything above speaks in these types.
"""
