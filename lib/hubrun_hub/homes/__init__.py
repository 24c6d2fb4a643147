"""Homes on a disk of their own: btrfs, a subvolume for each person, so that nobody fills the disk for others.

Runbook 04 mounts the file system (`homes_device`, `homes_gb`). On it, all root's:

    people/NAME       the person's home: a subvolume, whose qgroup has the limit
    snapshots/NAME/…  read-only snapshots of it, named by their time; the person sees them at ~/snapshots
    moving/NAME       a copy of a Docker volume that is under way; it begins again after a kill
    moving/.backup/…  what a backup reads just now (`frozen`)
    courses/…         the folders of courses, with limits of their own (`courses`)
    work/NAME, empty  overlayfs's own

NAME is the hub user's, escaped as in the names of volumes (`student_volume`).

A container gets the home as the Docker volume that it always was. Docker's own driver mounts it: as an overlay on
nothing, and not as it is. For on btrfs everybody may make a subvolume in a folder of their own, and that one would have
no limit; overlayfs does not pass that call on. What overlayfs writes at a mount has no limit either: where it cannot, it
mounts read-only, and who is at their limit could delete nothing (btrfs-subvolume(8); Linux, fs/overlayfs/super.c).

`docker_filter` asks for a home before it makes a container (`serve`, by a socket of root's alone). `snapshots` comes each
hour, `move` and `move_courses` bring over what a site had that had none of this. It runs in the system's own python3 (3.10 or
newer), with `btrfs`, `rsync` and `docker`.
"""
