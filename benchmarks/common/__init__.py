"""What the benchmarks share; nothing in here is a benchmark of its own."""
