"""Java: what only its clients do, Kafka's own tools, and programs over the whole interface."""
