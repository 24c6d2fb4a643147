"""The LMS's Test Student ("Student View"): how such a user of the hub is called, so that each part knows one by the name.

Their home is for a look around, and goes when the next one comes. As the hub may ask Docker to remove such a volume, and
no other, the name has to say it: `test-student---` and twelve characters. Nobody else's has three `-` in a row: what is
plain has single ones, and a made name two (`lti/user_names.py`).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from typing import Any

from . import student_volume

_NAME = re.compile(r"(?:[a-z0-9]{1,12}__)?test-student---[a-z2-7]{12}")


def name(stable_id: str, prefix: str = "") -> str:
    """Return the hub user of the Test Student whom a consumer with this prefix calls `stable_id`."""
    digest = b32encode(hashlib.sha256(stable_id.encode("utf-8", "surrogatepass")).digest()).decode().lower()
    return f"{prefix}__test-student---{digest[:12]}" if prefix else f"test-student---{digest[:12]}"


def is_one(user: str) -> bool:
    """Whether a user of the hub is a Test Student."""
    return _NAME.fullmatch(user) is not None


def prefix_of(user: str) -> str:
    """The prefix of a Test Student's consumer."""
    return user.rpartition("__")[0]


async def remove_home(spawner: Any) -> None:
    """Have Docker remove the volume of the person of a DockerSpawner, and with it their folders in courses.

    That is `docker_filter`'s to do, for a Test Student alone. Where there is none, all is well.
    """
    try:
        await spawner.docker("remove_volume", student_volume.volume(spawner.user.name))
    except Exception as error:  # docker.errors.APIError, which is in the hub's Python alone
        if getattr(error, "status_code", None) != 404:
            raise
