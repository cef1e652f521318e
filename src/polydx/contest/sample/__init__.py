"""The embedded sample contest: Chinese records made up in the contest's schema and mess."""

from polydx.contest.sample.files import write_sample
from polydx.contest.sample.generate import Hidden, Sample, generate

__all__ = ["Hidden", "Sample", "generate", "write_sample"]
