"""Black-box tests: real clients and raw sockets against a running broker, over TCP only.

Nothing here imports the packages under test. The broker is a process (`support.gateway`) or any
broker that listens already (`pytest compat_tests --bootstrap HOST:PORT`), so every expectation in
this folder can be checked against another Kafka.
"""
