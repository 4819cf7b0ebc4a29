"""What is special about a bucket: starting in one, its checks, and what it costs."""
