"""Connects to the socket at a PATH, and ends with the error where that is not possible."""

import socket
import sys

if __name__ == "__main__":
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
