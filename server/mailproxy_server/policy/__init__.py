"""Decides: what a relay's words mean, and when to try again.

Pure: transcripts, numbers and times are arguments, verdicts and outcomes the results.
"""
