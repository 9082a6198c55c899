"""Tokenizers and tokens.json: CLIP's full vocabulary and a vocabulary of 1024 entries learnt from the prompts below."""
import collections
import gzip
import os
import unicodedata

import regex
from transformers import CLIPTokenizer

from golden_inputs import save_json

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TINY_SIZE = 1024

PROMPTS = [
    "", " ", "a tintype portrait of an old sailor", "A TINTYPE PORTRAIT OF AN OLD SAILOR",
    "   blanks before and after   ", "one\ttab, one\nnewline,\r\nboth", "two  and   three blanks",
    "it's we're they've I'm he'll she'd don't 's 'LL", "!?!?", "... --- ***", "50% off: 3 for $9.99 (or 7/8) #sale @home",
    "cr\u00e8me br\u00fbl\u00e9e \u00e0 la carte", "e\u0301 and \u00e9 are one after NFC", "\u212b \u2126 \ufb03 \uff21\uff22\uff23\uff11\uff12",
    "\u732b\u304c\u5ea7\u3063\u3066\u3044\u308b", "\u4e00\u53ea\u732b\u5728\u84dd\u8272\u80cc\u666f\u4e0a",
    "\u0440\u044b\u0436\u0438\u0439 \u043a\u043e\u0442", "\u03ba\u03ac\u03c4\u03b9 \u03a3\u039f\u03a6\u039f\u03a3", "\u0642\u0637\u0629 \u0628\u0631\u062a\u0642\u0627\u0644\u064a\u0629",
    "\u092c\u093f\u0932\u094d\u0932\u0940", "\u0e41\u0e21\u0e27\u0e2a\u0e35\u0e2a\u0e49\u0e21", "\uace0\uc591\uc774 \u1100\u1161",
    "\U0001f431", "\U0001f468\u200d\U0001f469\u200d\U0001f467 and \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "fox\U0001f98ajumps\U0001f98aover", "&lt;html&gt; &amp; &quot;entities&quot;", "(cat:1.3), [dog], {bird}, \\(fox\\)",
    "<|startoftext|> in the middle", "the <|endoftext|> is near", "<|ENDOFTEXT|> <|endoftext", "\u00a0no\u00a0break\u2003em\u200bzero\ufeff",
    "\u2018single\u2019 \u201cdouble\u201d \u2013 \u2014 \u2026", "\u0130I\u0131i \u00df\u1e9e \u01c5 \u1f88", "x\u00b2+y\u00b3 \u00bd \u2167 \u2461 \u0665 \u09e9",
    "nul\u0000byte bell\u0007 del\u007f", "pneumonoultramicroscopicsilicovolcanoconiosis",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "0123456789 1 22 333",
    "http://localhost:8080/a?b=c&d=e#f", "snake_case, kebab-case, camelCase, _under_ __", "\ufffd \ud7ff \ue000 \U0010ffff",
    "fa\u0327c\u0327ade a\u0308\u0323o\u0302\u0301", "s\u0323\u0307 \u1e69 s\u0307\u0323", "<lora:style:0.8> masterpiece", "cat's'cat 'tis 'twas",
    "a photo of " + ", ".join(f"thing {i}" for i in range(40)), "cat " * 76, "cat " * 75 + "dog", "dog " * 74,
]
# A little more text to learn merges from: the words that prompts are made of.
EXTRA_TEXT = """a photo of an orange cat sitting on the blue chair in front of a window with white curtains, the red car
and the green tree on the mountain road at sunset, oil painting of the sea, watercolour flowers in the garden, portrait
of a smiling woman wearing a yellow hat, highly detailed, sharp focus, soft light, studio lighting, black background,
blurry, low quality, a dog running on the beach, a bird flying over the lake, two horses standing in the snow"""
SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")


def byte_symbols():
    """GPT-2's printable stand-ins of the 256 bytes, in the order of CLIP's first 256 ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(rest)}}


def join_pair(word, pair):
    joined = []
    for symbol in word:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return tuple(joined)


def learn_merges(texts, n_merges):
    """Byte-pair encoding by frequency; ties go to the pair that sorts first."""
    symbols = byte_symbols()
    words = collections.Counter()
    for text in texts:
        for word in SPLIT.findall(unicodedata.normalize("NFC", text).lower()):
            parts = [symbols[byte] for byte in word.encode()]
            words[tuple(parts[:-1] + [parts[-1] + "</w>"])] += 1
    merges = []
    while len(merges) < n_merges:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = collections.Counter()
        for word, count in words.items():
            merged[join_pair(word, best)] += count
        words = merged
    return merges


def vocabulary_of(merges):
    """CLIP's id order: bytes, bytes that end a word, merges, BOS, EOS."""
    symbols = list(byte_symbols().values())
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in merges] + [BOS, EOS]
    return {token: i for i, token in enumerate(tokens)}


_tiny = []


def tiny_vocabulary():
    """(vocabulary, merges) of the tiny models."""
    if not _tiny:
        merges = learn_merges(PROMPTS + [EXTRA_TEXT], TINY_SIZE - 514)
        _tiny.append((vocabulary_of(merges), merges))
        assert len(_tiny[0][0]) == TINY_SIZE
    return _tiny[0]


def make_tokenizer(vocabulary, merges, pad=None):
    extra = {"pad_token": pad} if pad else {}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77, **extra)


def tiny_tokenizer(pad=None):
    return make_tokenizer(*tiny_vocabulary(), pad)


def clip_tokenizer(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    return make_tokenizer(vocabulary_of(merges), merges)


def cut_and_pad(tokenizer, text):
    return tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids


def write(folder, vocabulary_path):
    if not os.path.exists(vocabulary_path):
        raise SystemExit(f"{vocabulary_path} is missing: run scripts/fetch-vocabulary.sh, or give --vocabulary")
    full, tiny = clip_tokenizer(vocabulary_path), tiny_tokenizer()
    entries = []
    for prompt in PROMPTS:
        entries.append({
            "prompt": prompt,
            "hf_fast_77": cut_and_pad(full, prompt),
            "hf_fast": full(prompt).input_ids,
            "tiny1024_77": cut_and_pad(tiny, prompt),
            "tiny1024": tiny(prompt).input_ids,
        })
    save_json(folder, "tokens", entries)
