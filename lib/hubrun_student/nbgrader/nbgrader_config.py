# mypy: ignore-errors
from hubrun_student.nbgrader.config import configure

configure(get_config())  # noqa: F821
