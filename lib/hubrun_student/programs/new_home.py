"""Makes in the image's HOME, which each new home is a copy of, what Jupyter and IPython would make at their first start.

In a home that reached its limit before they did, they could not, and neither would start: the folders of IPython's profile
(IPython/core/profiledir.py), and the mark that nothing of IPython 3 is to be taken over (jupyter_core/application.py,
migrate_config).
"""

import sys
from pathlib import Path


def make(home: Path) -> None:
    """Make them; what is there stays."""
    from IPython.core.profiledir import ProfileDir

    for name in (".jupyter", ".ipython"):
        (home / name).mkdir(mode=0o700, exist_ok=True)
    (home / ".jupyter" / "migrated").touch()
    ProfileDir.create_profile_dir_by_name(str(home / ".ipython"), "default")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
