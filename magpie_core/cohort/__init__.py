"""A site's annotated cases: kept, checked, logged, shared out in folds."""
