"""A site's annotated cases: storage, checks, audit trail, folds, exchange."""
