"""What measures speed and memory; each benchmark is `python -m benchmarks.NAME`, see README.md."""
