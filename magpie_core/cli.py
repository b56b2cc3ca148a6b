"""The command `magpie`."""

from __future__ import annotations

import logging
import warnings
from typing import Annotated

import typer

from magpie_core import RESEARCH_USE, __version__
from magpie_core.commands import cohort, dataset, models, plan, train
from magpie_core.commands.batch import batch
from magpie_core.commands.demo import demo
from magpie_core.commands.doctor import doctor
from magpie_core.commands.error_report import reported
from magpie_core.commands.evaluate import evaluate
from magpie_core.commands.explain import explain
from magpie_core.commands.finetune import finetune
from magpie_core.commands.inspect import inspect
from magpie_core.commands.rank import rank
from magpie_core.commands.segment import segment
from magpie_core.commands.synthesize import synthesize

app = typer.Typer(
    name="magpie",
    help=f"Glioma segmentation in brain MRI. {RESEARCH_USE}",
    epilog="Exit codes: 0 done, 1 unexpected, 2 usage, 3 input, 4 model, 5 resources, 130 cancelled.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (segment, batch, inspect, demo, explain, rank, finetune, evaluate, synthesize, doctor):
    app.command()(reported(command))
for module in (cohort, dataset, train, plan, models):
    for registered in module.app.registered_commands:
        if registered.callback is not None:
            registered.callback = reported(registered.callback)
    app.add_typer(module.app, name=module.__name__.rpartition(".")[2])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"magpie {__version__}\n{RESEARCH_USE}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything; show tracebacks.")] = False,
) -> None:
    """Options that stand before the command."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    for package in (
        "pydicom",
        "highdicom",
    ):  # they remark on every odd value of a header; what matters is in the result
        logging.getLogger(package).setLevel(logging.DEBUG if debug else logging.ERROR)
        warnings.filterwarnings("default" if debug else "ignore", module=package)
    logging.getLogger("magpie_core").setLevel(logging.DEBUG if debug else logging.NOTSET)


if __name__ == "__main__":
    app()
