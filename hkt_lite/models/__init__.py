"""Networks of the benchmarks."""
