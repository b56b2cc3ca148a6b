"""Teaching a model: from synthetic studies, and from a site's own cases."""
