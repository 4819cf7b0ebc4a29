"""Apache Kafka itself, to compare the gateway with."""
