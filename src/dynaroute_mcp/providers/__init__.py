"""One file a wire dialect, and the one file that owns the wire."""
