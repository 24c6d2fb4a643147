"""Joining two homes that were made for one person by mistake, on the server, as root; only the standard library.

`homes` looks first: what would be moved, and what is in the way. Then, with the hub and both servers stopped: the files
of the one go into a folder of the other's home, folders in courses and grades to the other, each by a rename within one
file system or a transaction, and at last, in one transaction, groups, roles and who is who. When a step fails, all
before it is put back. After a kill the hub stays stopped, and the same command carries on.
"""
