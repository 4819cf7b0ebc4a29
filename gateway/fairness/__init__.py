"""Who gets the loop, the threads and the memory of replies, and for how long."""
