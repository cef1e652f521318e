"""A vocabulary without the tokens that never occur: a smaller embedding table, the same answers on the texts seen."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from polydx.deploy.student_model import StudentModel, word_embedding
from polydx.errors import UserError
from polydx.model.tokens import encode

SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
ALL_TOKENS = 1 << 30
"""No text is cut: a token behind the student's length may stand before it in another text."""


class SmallerVocabulary(NamedTuple):
    """A model and the tokenizer that goes with it."""

    model: StudentModel
    tokenizer: PreTrainedTokenizerFast


def prune_vocabulary(
    model: StudentModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> SmallerVocabulary:
    """Drop every token that none of `texts` has; special tokens stay.

    Words are cut greedily, longest piece first, so what never was the longest piece of these texts changes nothing in
    them. In other texts a dropped token becomes shorter pieces, or unknown.

    Args:
        model: Left as it is.
        tokenizer: Fast, of word pieces or whole words; left as it is.
        texts: Cleaned texts, all that there are.

    Raises:
        UserError: The tokenizer is of another kind.
    """
    special = [getattr(tokenizer, f"{name}_id") for name in SPECIAL]
    kept = np.union1d(np.unique(encode(tokenizer, texts, ALL_TOKENS).ids), special).astype(np.int64)
    smaller = copy.deepcopy(model)
    table = word_embedding(model).weight.detach()
    new_id = {int(old): new for new, old in enumerate(kept)}
    padding = new_id[tokenizer.pad_token_id]
    smaller.set_input_embeddings(nn.Embedding.from_pretrained(table[kept], freeze=False, padding_idx=padding))
    smaller.config.vocab_size = len(kept)
    smaller.config.pad_token_id = padding
    return SmallerVocabulary(smaller, renumbered(tokenizer, new_id))


def renumbered(tokenizer: PreTrainedTokenizerBase, new_id: Mapping[int, int]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows only the tokens whose ids are keys, under their new ids.

    Raises:
        UserError: Its model or its template is of a kind whose ids lie elsewhere.
    """
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if state["model"]["type"] not in ("WordPiece", "WordLevel"):
        raise UserError("vocabulary", f"is of kind {state['model']['type']}", "leave this student's vocabulary whole")
    vocabulary = state["model"]["vocab"].items()
    state["model"]["vocab"] = {token: new_id[old] for token, old in vocabulary if old in new_id}
    added = [token for token in state["added_tokens"] if token["id"] in new_id]
    state["added_tokens"] = [{**token, "id": new_id[token["id"]]} for token in added]
    _renumber_template(state["post_processor"], new_id)
    smaller = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        **{name: getattr(tokenizer, name) for name in SPECIAL},
    )
    smaller.model_max_length = tokenizer.model_max_length
    return smaller


def _renumber_template(template: dict[str, Any], new_id: Mapping[int, int]) -> None:
    """Give a post-processor's special tokens their new ids, in place."""
    if template["type"] == "TemplateProcessing":
        for token in template["special_tokens"].values():
            token["ids"] = [new_id[old] for old in token["ids"]]
    elif template["type"] == "BertProcessing":
        for place in ("sep", "cls"):
            token, old = template[place]
            template[place] = [token, new_id[old]]
    else:
        raise UserError("vocabulary", f"has a {template['type']}", "leave this student's vocabulary whole")
