"""Object stores: the small interface a log needs, and the two that need no service."""
