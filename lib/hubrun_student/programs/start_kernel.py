"""Starts a Python kernel. The folder of its notebook comes where IPython puts it: after Python's own library, and not
before the kernel is there. jedi would be imported at the first Tab, from that folder."""

# mypy: disable-error-code="import-untyped,import-not-found"
import sys

if __name__ == "__main__":
    del sys.path[0]  # this file's own folder
    import jedi  # noqa: F401
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
