"""`magpie finetune`: fine-tune the model on a site's own cases."""

from __future__ import annotations

from typing import Any

from magpie_core.app.finetune import FinetuneRequest, finetune as finetune_model
from magpie_core.commands.options import AsJson, options_of, user_name
from magpie_core.commands.output import print_json, print_line, print_message, print_model
from magpie_core.commands.progress import ProgressBar


@options_of(FinetuneRequest)
def finetune(as_json: AsJson = False, **options: Any) -> None:
    """Fine-tune the model on corrected cases, and say whether it got better."""
    request = FinetuneRequest(user=user_name(), **options)
    start = print_model(request.model or None, as_json=as_json)
    with ProgressBar("Fine-tuning", quiet=as_json) as bar:
        result = finetune_model(request, progress=bar)
    for warning in result.warnings:
        print_message(warning)
    if as_json:
        outcome = {"start_model": start, "version": result.version, "model": str(result.model), "gain": result.gain}
        print_json({**outcome, "in_use": result.in_use, **result.record})
        return
    print_line("\n".join(result.sentences))
    print_line(f"Version {result.version} is kept in {result.model}" + (" and in use" if result.in_use else ""))
    if not result.in_use and result.accepted:
        print_line(f"To use it: magpie models promote {result.version} --reason ...")
