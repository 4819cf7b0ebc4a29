"""Where bytes are kept: objects, segments, manifests; opening, persistence, deadlines."""
