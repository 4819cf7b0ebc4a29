"""Log streams over a store."""
