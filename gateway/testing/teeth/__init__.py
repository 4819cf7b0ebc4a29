"""Do the tests bite? Mistakes put into a copy of the sources, one at a time: `make teeth`.

Every row of the table is a mistake somebody could make, and names the tests that must notice it.
The unit suite checks that each row still fits the sources (tests/test_teeth.py); the run itself
takes minutes and stands behind `make teeth`.
"""
