"""From notebooks to a rendered, checked book."""
