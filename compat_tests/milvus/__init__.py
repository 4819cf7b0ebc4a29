"""The workload of Milvus, with the librdkafka that Milvus pins."""
