"""What the gateway shows of itself over HTTP: numbers for Prometheus, and whether it lives.

Everything is read when somebody asks: nothing in here is on the way of a request.
"""
