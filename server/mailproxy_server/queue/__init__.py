"""The queue in PostgreSQL: what is to be sent, who is sending it, and what came of it.

Owns every statement on messages, requests, deliveries, workers and the report log. A final
outcome leaves `deliveries` and enters the log in one statement (`settle`), the only place
that writes outcomes. Decides nothing about mail: it is told outcomes and carries them out.
"""
