"""The one schema of a site: what a params file may say."""

from hubrun.params.reading import build, load, read_yaml
from hubrun.params.site import Site, fields, read_local

__all__ = ["Site", "build", "fields", "load", "read_local", "read_yaml"]
