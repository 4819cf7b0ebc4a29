"""Topics and partitions over the log: the nouns that the API handlers translate to and from."""
