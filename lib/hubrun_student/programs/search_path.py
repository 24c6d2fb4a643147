"""Lets Python find the packages of ours that stand beside this one: site(docs.python.org), "path configuration files"."""

import sysconfig
from pathlib import Path

if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2]
    Path(sysconfig.get_path("purelib"), "hubrun.pth").write_text(f"{folder}\n")
