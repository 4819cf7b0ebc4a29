"""Several processes want one log in a bucket; the store alone decides who has it."""
