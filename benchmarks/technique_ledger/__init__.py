"""Parts of `benchmarks/techniques.py`: what is to be done, doing it, and scoring it."""
