"""Random faults of processes, store and connections under load; a checker over what was seen."""
