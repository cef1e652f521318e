"""Parts of `benchmarks/techniques.py`: what is to be done, and doing it."""
