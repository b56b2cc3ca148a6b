"""`magpie train`: on synthetic studies, on unlabeled studies, or on labeled cases."""

from __future__ import annotations

import typer

from magpie_core.commands.train.brain_extraction import brain_extraction
from magpie_core.commands.train.cases import cases
from magpie_core.commands.train.pretraining import pretraining
from magpie_core.commands.train.synthetic import synthetic

app = typer.Typer(
    no_args_is_help=True, help="Train a model: on synthetic studies, on unlabeled studies, on labeled cases."
)
app.command("synthetic")(synthetic)
app.command("cases")(cases)
app.command("pretraining")(pretraining)
app.command("brain-extraction")(brain_extraction)
