"""Makes a new SQLite database at the path that is given, with nothing in it: JupyterHub makes its tables at its start."""

import sqlite3
import sys

if __name__ == "__main__":
    # What is written is put into the file's head, which so comes to be.
    with sqlite3.connect(sys.argv[1]) as database:
        database.execute("PRAGMA user_version = 1")
        database.execute("PRAGMA user_version = 0")
