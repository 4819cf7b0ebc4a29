"""`doctor`: the checks of a start and more, each with its outcome and what to do about it.

Takes the very flags of `serve`: what would serve with them is what is checked.
"""

import os
from collections.abc import Iterator
from typing import Any

import click

from gateway.cli.options import ADDRESS, DURATION
from gateway.cli.serve import SettingsCommand, setting_parameters
from gateway.settings.load import load_config

_WIDTH = 8  # of the widest outcome, and a space


def _doctor(bootstrap: tuple[str, int] | None, timeout_ms: int, **flags: Any) -> int:
    config = load_config(flags, os.environ)

    # A wrong setting is reported without loading these.
    from gateway.cli import checks  # noqa: PLC0415
    from gateway.cli.etcd_checks import check_etcd  # noqa: PLC0415

    def findings() -> Iterator[checks.Finding]:
        yield from checks.check_data(config)
        if config.etcd is not None:
            yield from check_etcd(config)
        yield from checks.check_limits(config)
        yield checks.check_compiled()
        yield checks.check_translated()
        yield from checks.check_address(config)
        if bootstrap is not None:
            yield from checks.check_broker(bootstrap, timeout_ms)

    failed_count = 0
    for finding in findings():
        detail = f": {finding.detail}" if finding.detail else ""
        click.echo(f"{finding.status:<{_WIDTH}}{finding.name}{detail}")
        if finding.status != "ok" and finding.remedy:
            click.echo(f"{'':<{_WIDTH}}try: {finding.remedy}")
        failed_count += finding.status == "failed"
    return 1 if failed_count else 0


doctor = SettingsCommand(
    "doctor",
    callback=_doctor,
    params=[
        click.Option(
            ["--bootstrap"], type=ADDRESS, default=None, help="Also check the broker running there."
        ),
        click.Option(
            ["--timeout", "timeout_ms"],
            type=DURATION,
            default="10s",
            help="How long that broker may take to answer. [10s]",
        ),
        *setting_parameters(),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Check what a broker needs, and say what to do where something is wrong.

    Give it the flags you give to `serve`, or the same environment: it checks that storage can be
    trusted (a bucket is probed, a folder written to), that etcd answers and lets this broker write,
    the limits of this process, whether compiled help was built, and the address clients are told.
    With --bootstrap HOST:PORT it also asks the broker running there. The exit code is 0 when
    nothing failed; warnings do not count.

    \b
    Before the first start in a bucket:
        woodpecker-gateway doctor --data s3://my-bucket/broker
    While a broker runs:
        woodpecker-gateway doctor --bootstrap localhost:9092
    """,
)
