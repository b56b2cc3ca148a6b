"""`magpie train`: from anatomy alone, from images without labels, or from labeled cases."""

from __future__ import annotations

import typer

from magpie_core.commands.train.brain_mask import brain_mask
from magpie_core.commands.train.cases import cases
from magpie_core.commands.train.pretraining import pretraining
from magpie_core.commands.train.synthetic import synthetic

app = typer.Typer(
    no_args_is_help=True,
    help="Train a model: from synthetic studies, from images without labels, from labeled cases.",
)
app.command("synthetic")(synthetic)
app.command("cases")(cases)
app.command("pretraining")(pretraining)
app.command("brain-mask")(brain_mask)
