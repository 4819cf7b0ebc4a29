"""The command line: `woodpecker-gateway` and `python -m gateway`."""

import sys

from gateway.translated import finder


def main() -> None:
    """Run the command line on sys.argv and leave the process with its exit code."""
    finder.install()
    from gateway.cli.main import run  # noqa: PLC0415 - importing this module stays free of effects

    code = run(sys.argv[1:])
    if "obstore" in sys.modules:
        _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> None:
    """Skip the interpreter's own shutdown.

    The library for buckets has threads that may just be letting go of the last answer. One that
    touches the interpreter while that is being taken apart aborts the process: seen in 4 of 50 runs
    of `doctor`, which then ended with SIGABRT instead of its exit code. By now everything is
    closed; only what is buffered for people has to be written.
    """
    import os  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # none there, or its reader has gone
    os._exit(code)


if __name__ == "__main__":
    main()
