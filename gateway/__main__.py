"""The command line: `woodpecker-gateway` and `python -m gateway`."""

import sys


def main() -> None:
    """Run the command line on sys.argv and leave the process with its exit code."""
    from gateway.cli.main import run  # noqa: PLC0415 - importing this module stays free of effects

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
