"""What is known of a log in memory, and how it is put together from what is stored."""
