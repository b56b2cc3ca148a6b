"""Fine-tune a model on a site's own cases, and test whether the result is accepted."""
