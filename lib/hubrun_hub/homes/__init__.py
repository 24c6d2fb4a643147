"""Homes on a disk of their own: btrfs, a subvolume for each person, so that nobody fills the disk for others.

Runbook 04 mounts the file system (`homes_device`, `homes_gb`). On it, all root's:

    people/NAME/files    what the person sees as their home; people/NAME is a subvolume, whose qgroup has the limit
    people/NAME/work     overlayfs's own
    snapshots/NAME/…     read-only snapshots of people/NAME, named by their time; the person sees them at ~/snapshots
    moving/NAME          a copy of a Docker volume that is under way; it begins again after a kill

NAME is the hub user's, escaped as in the names of volumes (`student_volume`).

A container gets the home as the Docker volume that it always was. Docker's own driver mounts it: as an overlay with
nothing below `files`. Not `files` itself, because on btrfs everybody may make a subvolume in a folder of their own, and
that one would have no limit; overlayfs does not pass that call on (btrfs-subvolume(8); Linux, fs/overlayfs).

`docker_filter` asks for a home before it makes a container (`serve`, by a socket of root's alone). `snapshots` comes each
hour, `move` brings over the volumes of a site that had none of this. It runs in the system's own python3 (3.10 or
newer), with `btrfs`, `rsync` and `docker`.
"""
