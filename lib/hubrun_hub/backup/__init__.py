"""Backup and restore of a site on its server, as root; restic does the work, and only the standard library is used here.

What restic sees is a tree that is put together of bind mounts, in a mount namespace of this program's own (`tree`):

    homes/<user>/                            each home, by its user's name as it is in that of the volume
    courses/                                 /srv/nbgrader
    server/etc/jupyterhub, server/var/…      keys, people, databases, certificates, what the image is built from
    server/manifest.json                     versions

In homes and courses is whatever students put there, at any moment. The kernel follows no symbolic link on these mounts
(MS_NOSYMFOLLOW), read or written, so that a link that somebody swaps for a folder leads nowhere. What goes back into the
home of somebody who works there is written by a container with that home alone, as the student. `take` makes a backup,
`give_back` restores.
"""
