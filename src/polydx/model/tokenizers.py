"""Vocabularies made from the contest's own texts; the same texts give the same bytes."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from polydx.errors import UserError
from polydx.names import TokenizerName

PAD, UNKNOWN, FIRST, LAST, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Ids 0 to 4, as BERT's configuration expects of padding."""
INSIDE = "##"
"""Prefix of a piece that goes on with a word."""
MIN_COUNT = 2
"""What occurs once becomes `[UNK]`: it can't be learnt, and `[UNK]` needs occurrences to learn from."""


def new_tokenizer(kind: TokenizerName, texts: Sequence[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose vocabulary comes from texts.

    Args:
        kind: `characters`: Chinese characters one by one, other scripts in word pieces; `wordpiece`: word pieces for
            every script; `words`: what white space separates.
        texts: What to learn from.
        vocabulary_size: Most entries, the five special tokens included.

    Returns:
        A fast tokenizer; `save_pretrained` writes it in a form that `AutoTokenizer` reads.

    Raises:
        UserError: Nothing occurs often enough in the texts.
    """
    tokenizer = (
        _words(texts, vocabulary_size)
        if kind == "words"
        else _pieces(texts, vocabulary_size, single_characters=kind == "characters")
    )
    if tokenizer.get_vocab_size() <= len(SPECIAL_TOKENS):
        raise _nothing_learnt()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{FIRST} $A {LAST}",
        pair=f"{FIRST} $A {LAST} $B:1 {LAST}:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in (FIRST, LAST)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=FIRST,
        sep_token=LAST,
        mask_token=MASK,
    )


def _words(texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
    counts = Counter(word for text in texts for word in text.split())
    vocabulary = [*SPECIAL_TOKENS, *_frequent(counts)][:vocabulary_size]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(vocabulary)}, UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _pieces(texts: Sequence[str], vocabulary_size: int, *, single_characters: bool) -> Tokenizer:
    normalizer = normalizers.BertNormalizer(handle_chinese_chars=single_characters, lowercase=True)
    splitter: pre_tokenizers.PreTokenizer = pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for entry in _single(word):
            counts[entry] += count
    alphabet = _frequent(counts)[: vocabulary_size - len(SPECIAL_TOKENS)]
    if not alphabet:
        raise _nothing_learnt()
    merged = _train(words, alphabet, vocabulary_size)
    vocabulary = [*SPECIAL_TOKENS, *alphabet, *merged][:vocabulary_size]

    tokenizer = Tokenizer(models.WordPiece({token: index for index, token in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    # A character outside the alphabet would make its whole word unknown; alone, it is the only one.
    known = "".join(re.escape(character) for character in sorted({entry[-1] for entry in alphabet}))
    alone = pre_tokenizers.Split(Regex(f"[^{known}]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([splitter, alone])
    tokenizer.decoder = decoders.WordPiece(prefix=INSIDE)
    return tokenizer


def _nothing_learnt() -> UserError:
    return UserError("records", f"nothing in the texts occurs {MIN_COUNT} times", "give more text to learn from")


def _train(words: Counter[str], alphabet: Sequence[str], vocabulary_size: int) -> list[str]:
    """Pieces longer than a character, the most frequent merges first.

    The trainer numbers pieces inside words in the order of a randomly seeded hash table, and breaks ties by number.
    Naming them beforehand, as special tokens, fixes both.
    """
    kept = set(alphabet)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=MIN_COUNT,
        show_progress=False,
        special_tokens=[*SPECIAL_TOKENS, *sorted(entry for entry in alphabet if entry.startswith(INSIDE))],
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    corpus = (" ".join([word] * count) for word, count in words.items() if kept.issuperset(_single(word)))
    tokenizer.train_from_iterator(corpus, trainer)
    numbered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [token for token, _ in numbered if token not in SPECIAL_TOKENS and len(token.removeprefix(INSIDE)) > 1]


def _single(word: str) -> Iterator[str]:
    """The entries that spell a word character by character."""
    for place, character in enumerate(word):
        yield character if place == 0 else INSIDE + character


def _frequent(counts: Counter[str]) -> list[str]:
    """What occurs `MIN_COUNT` times, the most frequent first, ties in alphabetical order."""
    return sorted((entry for entry, count in counts.items() if count >= MIN_COUNT), key=lambda e: (-counts[e], e))
