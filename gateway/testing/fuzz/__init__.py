"""Coverage-guided fuzzing of everything that reads bytes: `make fuzz`.

`table.py` is the table of what is fuzzed, `corpus/` keeps inputs worth trying at every test run
(tests/test_fuzz.py does, without a fuzzer), `python -m gateway.testing.fuzz` runs the fuzzer
(atheris, for which there is a lock file of its own) on a target for a time.
"""
