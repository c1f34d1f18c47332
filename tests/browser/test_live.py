"""The figures that can be moved, each alone on a page: their numbers equal Python's, keys move them."""
