"""The one schema of a site: what a params file may say."""

from hubrun.params.site import Site, build, fields, load, read_local, read_yaml

__all__ = ["Site", "build", "fields", "load", "read_local", "read_yaml"]
