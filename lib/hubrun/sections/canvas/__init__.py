"""05_canvas: what Canvas must be told, and the tool set up by Canvas's API."""
