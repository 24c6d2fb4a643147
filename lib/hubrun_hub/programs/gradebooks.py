"""A course's gradebook for the hub (hubrun_hub/gradebooks): answers one connection, which is the standard input; run by root."""

import socket

from hubrun_hub.gradebooks.serve import serve

if __name__ == "__main__":
    serve(socket.socket(fileno=0))
