"""The report card: what each client can do, from a run of the tests."""
