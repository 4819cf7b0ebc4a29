"""Who is alive and who owns what, as all nodes see it; nothing here is the truth about data."""
