"""Records, the one training loop, grids, export."""
