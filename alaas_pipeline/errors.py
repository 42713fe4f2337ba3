"""The one family of errors that people are meant to read."""


class UserError(Exception):
    """Something a person can mend.

    The message names the thing, says what is wrong with it and what to do. It is shown as it stands in the
    terminal, in a failed run and in a code-location error, so it never holds a secret.
    """
