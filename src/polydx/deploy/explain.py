"""The words that drove each decided label: gradient times input.

The attribution of a token to a label is the dot product of the label's logit's gradient with the token's word embedding
(Shrikumar 2016, "gradient x input"): the first-order change of the logit if the embedding were taken away. A word's is
the sum over its tokens, wherever it stands in the text.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from polydx.artifacts import Floats
from polydx.deploy.student_model import LoadedStudent, StudentModel
from polydx.model.tokens import IntArray, encode
from polydx.names import Language
from polydx.text.words import word_spans
from polydx.train.batching import batches_by_tokens

EXPLAINED_WORDS = 5
"""Words named for each label, at most."""
GRADIENT_TOKENS = 2048
"""Padded tokens in a batch: the backward pass keeps every layer's activations."""
NO_LABEL = -1
"""Fills the rows of records with fewer labels than others."""

Spans = Sequence[tuple[int, int]]


def explain(
    student: LoadedStudent, texts: Sequence[str], decided: Sequence[Sequence[int]], device: torch.device
) -> list[list[dict[str, float]]]:
    """Name the words that spoke for each decided label.

    Args:
        student: The model, on `device`, in evaluation mode.
        texts: Cleaned texts.
        decided: Columns of each text's labels.
        device: Where the model lies.

    Returns:
        For each text and each of its labels the words with the largest positive attributions, the largest first, ties
        in reading order.

    Raises:
        UserError: The student is an ONNX file, which has no gradients.
    """
    model = student.stock_model()
    tokens = encode(student.tokenizer, texts, student.card.max_tokens)
    encoded = student.tokenizer(
        list(texts), truncation=True, max_length=student.card.max_tokens, return_offsets_mapping=True
    )
    offsets: list[Spans] = encoded["offset_mapping"]
    columns = np.full((len(texts), max(map(len, decided), default=0)), NO_LABEL)
    for row, labels in enumerate(decided):
        columns[row, : len(labels)] = labels
    found: list[list[dict[str, float]]] = [[] for _ in texts]
    for rows in batches_by_tokens(tokens.lengths, GRADIENT_TOKENS):
        input_ids, attention_mask = tokens.pad(rows)
        shares = attributions(model, input_ids.to(device), attention_mask.to(device), columns[rows])
        for row, of_row in zip(rows.tolist(), shares, strict=True):
            text, language = texts[row], student.card.language
            found[row] = [top_words(text, language, offsets[row], of_row[rank]) for rank in range(len(decided[row]))]
    return found


def attributions(model: StudentModel, input_ids: Tensor, attention_mask: Tensor, columns: IntArray) -> Floats:
    """Gradient times input of some labels of each row.

    Rows don't mix in the model, so the gradient of the sum over rows holds each row's own: one backward pass serves the
    first label of all rows, the next one their second.

    Args:
        model: In evaluation mode.
        input_ids: `[batch, tokens]`, int64.
        attention_mask: `[batch, tokens]`, int64.
        columns: `[batch, ranks]`, int64, labels of each row; `NO_LABEL` fills.

    Returns:
        `[batch, ranks, tokens]`, float32; 0 for padding and where there is no label.
    """
    embedded = model.get_input_embeddings()(input_ids).detach().requires_grad_()
    # The signature of a stock model's call isn't typed.
    logits: Tensor = model(inputs_embeds=embedded, attention_mask=attention_mask).logits
    shares = np.zeros((*columns.shape, input_ids.shape[1]), dtype=np.float32)
    ranks = columns.shape[1]
    for rank in range(ranks):
        chosen = torch.from_numpy(columns[:, rank]).to(logits.device)
        picked = logits.gather(1, chosen.clamp(min=0)[:, None])[:, 0] * (chosen != NO_LABEL)
        (gradient,) = torch.autograd.grad(picked.sum(), embedded, retain_graph=rank + 1 < ranks)
        shares[:, rank] = ((gradient.float() * embedded.float()).sum(-1) * attention_mask).detach().cpu().numpy()
    return shares


def top_words(text: str, language: Language, offsets: Spans, shares: Floats) -> dict[str, float]:
    """Add tokens' attributions up to words and keep the largest positive ones.

    Args:
        text: The text.
        language: How its words are found.
        offsets: (start, end) in the text of each token; special tokens span nothing.
        shares: `[tokens or more]`, attributions.

    Returns:
        At most `EXPLAINED_WORDS` attributions by word. A token counts to the word that it starts in.
    """
    word_at: dict[int, str] = {}
    for start, end in word_spans(text, language):
        word_at |= dict.fromkeys(range(start, end), text[start:end])
    total: defaultdict[str, float] = defaultdict(float)
    for (start, end), share in zip(offsets, shares.tolist(), strict=False):
        if end > start and start in word_at:
            total[word_at[start]] += share
    best = sorted((word for word in total if total[word] > 0), key=lambda word: -total[word])
    return {word: total[word] for word in best[:EXPLAINED_WORDS]}
