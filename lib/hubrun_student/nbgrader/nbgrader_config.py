# mypy: ignore-errors
from hubrun_nbgrader.config import configure

configure(get_config())  # noqa: F821
