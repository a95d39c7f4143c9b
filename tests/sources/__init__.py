"""The sources of attachments, each against the real thing."""
