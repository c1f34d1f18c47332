"""Data sets: official layouts, committed splits, a registry with checksums, and the embedded synthetic sets."""
