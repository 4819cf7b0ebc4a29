"""One stand-alone program per client library, driven over JSON lines (see `rpc`)."""
