"""Small requests with large effects, while somebody else works: the broker lives in 1 GiB.

`make siege` runs each attack of `attacks.py` at many times its basic load against a broker that may
use 1 GiB of memory (`cage.py`), with a well-behaved client beside it (`bystander.py`), and prints a
row for each: the largest memory, what was left of it afterwards, and how long the client waited.
`test_siege.py` is the short run of the suite; it asserts everything but times.
"""
