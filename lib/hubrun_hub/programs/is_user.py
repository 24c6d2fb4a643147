"""Prints "user" when the hub knows one: DATABASE USER."""

import sqlite3
import sys

if __name__ == "__main__":
    connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    if connection.execute("SELECT 1 FROM users WHERE name = ?", sys.argv[2:]).fetchone():
        print("user")
