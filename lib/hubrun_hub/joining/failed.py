"""What ends the joining of two homes."""


class Failed(Exception):
    """Something on the server is not as it must be; the text is one line for people."""
