"""The error that is shown to a person: what is wrong, where, and the way out."""


class SlipwayError(Exception):
    """Something the user can mend. The command line prints its text alone, without a traceback, and exits with 1."""
