"""What stands between a gateway and its store, or its clients, and misbehaves when told to."""
