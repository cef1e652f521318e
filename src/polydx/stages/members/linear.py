"""Fitting a linear member."""

import numpy as np
import pandas as pd

from polydx.artifacts import Floats
from polydx.config import LinearMember
from polydx.contest.records import TEXT
from polydx.model.linear import Features, fit_linear
from polydx.names import Language
from polydx.stages.members.job import Fitted, FoldJob, IntArray


def fit(member: LinearMember, job: FoldJob, language: Language) -> Fitted:
    """A linear classifier has no time to ramp over: pseudo-rows get their final weight.

    It learns 0 and 1, so a soft label becomes the likelier answer, whatever stage 6 counts as present.
    """
    rows = job.rows
    texts = pd.read_parquet(job.paths.records, columns=[TEXT])[TEXT].tolist()
    weight = 1.0 if job.pseudo is None else job.pseudo.final_weight
    model = fit_linear(
        [texts[row] for row in rows.learned],
        (rows.targets >= 0.5).astype(np.float32),
        np.where(rows.is_pseudo, weight, 1.0).astype(np.float32),
        Features(language, member.word_ngrams, member.character_ngrams, member.stop_words),
        min_documents=member.min_documents,
        max_features=member.max_features,
        loss=member.loss,
        inverse_regularisation=member.inverse_regularisation,
        threads=job.compute.threads,
    )
    model.save(job.files.model)

    def predict(places: IntArray) -> Floats:
        if not len(places):
            return np.zeros((0, rows.targets.shape[1]), dtype=np.float32)
        return model.probabilities([texts[place] for place in places])

    return Fitted(predict, {"steps": 0, "adversarial_steps": 0, "final_loss": 0.0})
