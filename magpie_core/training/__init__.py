"""Teaching a model: one loop, and the rooms of what it is taught from."""
