"""15_remove: a person, a course or a consumer with its people goes from a server."""
