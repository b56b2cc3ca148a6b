"""Teaching a model a site's own cases, and whether the result may take over."""
