"""What ends a program of the server that cannot go on."""


class Failed(Exception):
    """Something on the server is not as it must be; the text is one line for people."""
