"""The `sightline codecs` command: which decoder reads which transfer syntax here, and why.

Source: docs/reference/analyze.md "Transfer syntaxes".
"""

from pathlib import Path

import click


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of an installation whose workers are to use what is measured now.",
)
def codecs(data: Path | None) -> None:
    """Measure the image decoders and show which is used.

    There is a line for each transfer syntax. A worker does the same when it starts for the first
    time, or after a decoder has changed.
    """
    from cds_service.adapters.decoder_probe import choose_decoders, keep

    choices = choose_decoders()
    for choice in choices:
        click.echo(f"{choice.syntax:<24}{choice.chosen or 'none':<13}{choice.why}")
    if data is not None:
        keep(data, choices)
        click.echo("Kept: workers that start from now on use these.")
