"""Lets the kernel `python3` begin with `start_kernel` in place of `-m ipykernel_launcher`."""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    path = Path(sys.prefix, "share/jupyter/kernels/python3/kernel.json")
    spec = json.loads(path.read_text())
    at = spec["argv"].index("-m")
    assert spec["argv"][at + 1] == "ipykernel_launcher", spec
    spec["argv"][at : at + 2] = [str(Path(__file__).resolve().with_name("start_kernel.py"))]
    path.write_text(json.dumps(spec, indent=1))
