"""Builds the server's processes and what they stand on: data directory, database, children."""
