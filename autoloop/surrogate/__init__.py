"""scikit-optimize, used well."""
