"""`make bench`: what the gateway does beside what this machine can do, measured in one run."""
