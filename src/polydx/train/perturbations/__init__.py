"""Perturbed training, one file a method behind one interface.

| method | moves | passes of a step (backward passes that reach the weights) |
| --- | --- | --- |
| FGM | word embeddings | 2 (2) |
| PGD | word embeddings | K + 1 (2) |
| FreeLB | word embeddings | K (K) |
| VAT | word embeddings | iterations + 2 (2) |
| AWP, SAM | weights | 2 (2) |
| R-Drop | nothing: dropout differs by itself | 2 (1) |
"""
