"""Who may call, and through which relays they send: tenants, tokens, accounts, sealed passwords.

Reads and writes its own tables and returns facts; it neither connects to a relay nor records
anything. Passwords are in clear only in what `Accounts.credentials` gives.
"""
