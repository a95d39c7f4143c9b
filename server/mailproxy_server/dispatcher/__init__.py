"""The dispatcher: claims what is due, sends it, and settles what came of it.

A lane an account decides what to claim; senders carry claimed parcels through the account's
pool; the settler writes outcomes in batches; the keeper holds the lease and rescues what
dead dispatchers held. Nothing here is shared with the fronts but the database.
"""
