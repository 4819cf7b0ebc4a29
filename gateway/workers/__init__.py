"""Several brokers on one machine behind one address: a supervisor, and the processes it keeps."""
