"""`colonnade completion`: what a shell needs to complete commands and options."""

import rich_click as click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; `docs/cli.md` says where it goes."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} cannot be completed here.")
    root = context.find_root().command
    click.echo(kind(root, {}, "colonnade", "_COLONNADE_COMPLETE").source())
