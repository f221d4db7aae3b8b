"""Moments on the path of a request, and the scripts that hang on them."""
