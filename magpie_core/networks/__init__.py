"""The networks that look at a study: MAGPIE and its parts."""
