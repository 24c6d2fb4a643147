"""Prints what a container of the students' image is, and whether it reaches the hub: ADDRESS is its health page.

Each line is judged by itself, so a hub that cannot be reached does not end it.
"""

import importlib.metadata
import os
import sys
import urllib.request

if __name__ == "__main__":
    print("uid", os.getuid())
    print("jupyterhub", importlib.metadata.version("jupyterhub"))
    try:
        print("hub", urllib.request.urlopen(sys.argv[1], timeout=10).status)  # nosec B310 - the address is ours
    except OSError as error:
        print("hub", error)
