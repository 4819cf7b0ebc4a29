def pytest_configure(config) -> None:
    """kafka-python loads its schemas through a deprecated importlib call; not ours to mend."""
    for module in ("kafka.protocol.schemas.load_json", "importlib.resources._legacy"):
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{module}")
