"""Development-time tools: schema table -> protocol/messages. Never imported by the running gateway.

`python -m protocol.codegen` writes protocol/messages, `--check` says whether it is up to date,
`--extract` rebuilds schema_table.txt from an installed package that carries Kafka's message JSON.
"""
