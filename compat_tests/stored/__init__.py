"""What lies in the bucket, seen from outside: by another client of it, and another parser."""
