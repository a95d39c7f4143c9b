"""Owns the one way in which starting is refused: a single line that names the remedy."""


class Refusal(Exception):  # it is an answer, not a fault of ours
    """The server cannot start or go on as things stand.

    Its text is one line for the operator: what is wrong and what mends it. No secrets.
    """
