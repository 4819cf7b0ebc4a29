"""Every named client, one set of expectations."""
