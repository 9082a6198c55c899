"""A small byte-pair vocabulary in CLIP's form, trained on the captions.

Ids: 256 byte symbols, 256 byte symbols with the end-of-word mark, one id per merge, then
<|startoftext|> and <|endoftext|>. Words that the captions never use fall to bytes. The files are
the ordinary vocab.json and merges.txt, which transformers' CLIPTokenizer reads.

    python train/tokenizer.py --out DIR
"""

import argparse
import json
import os
import re
from collections import Counter

import numpy as np

import grammar
from scenes import Curriculum, random_scene

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
EXTRA_WORDS = (
    "picture photo image drawing painting emoji two both big small cute happy funny nice old new".split()
)
EXTRA_WORDS += "with without no".split()


def byte_symbols():
    """The 256 printable stand-ins for bytes that GPT-2 and CLIP vocabularies use, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def corpus(seed=5, captions=60000):
    """Word counts of random captions, held-out combinations included (words are no secret)."""
    rng = np.random.default_rng(seed)
    words = Counter({word: 1 for word in EXTRA_WORDS})
    for _ in range(captions):
        text = grammar.caption(random_scene(rng, Curriculum(sized=0.3)), rng)
        words.update(re.findall(r"[a-z]+|[^\sa-z]+", text.lower()))
    return words


def _merged(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train(words, limit=1200):
    """Merges in order of frequency (ties by spelling) until every word is one token or `limit`."""
    table = byte_symbols()
    split = {}
    for word in sorted(words):
        symbols = [table[b] for b in word.encode()]
        symbols[-1] += "</w>"
        split[word] = symbols
    merges = []
    while len(merges) < limit:
        pairs = Counter()
        for word, symbols in split.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(symbols, best) for word, symbols in split.items()}
    return merges


def vocabulary(merges):
    symbols = list(byte_symbols().values())
    names = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges] + [START, END]
    return {name: i for i, name in enumerate(names)}


def config():
    return {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "do_lower_case": True,
        "add_prefix_space": False,
    }


def write(folder):
    """Trains and writes vocab.json, merges.txt and tokenizer_config.json."""
    merges = train(corpus())
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump(vocabulary(merges), file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump(config(), file, indent=1)
        file.write("\n")


class Tokenizer:
    """transformers' CLIPTokenizer over `folder`, remembering the words it has seen."""

    def __init__(self, folder):
        from transformers import CLIPTokenizer

        self.inner = CLIPTokenizer.from_pretrained(folder)
        self.end = self.inner.convert_tokens_to_ids(END)
        self.cache = {}

    def __call__(self, text, length):
        """Ids cut and padded to `length`, start and end included."""
        if text not in self.cache:
            if len(self.cache) > 200000:
                self.cache.clear()
            self.cache[text] = self.inner(text)["input_ids"]
        ids = self.cache[text]
        ids = ids if len(ids) <= length else ids[: length - 1] + [self.end]
        return ids + [self.end] * (length - len(ids))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder for vocab.json and merges.txt")
    args = parser.parse_args()
    write(args.out)
    tokenizer = Tokenizer(args.out)
    rng = np.random.default_rng(0)
    lengths = []
    for _ in range(3000):
        text = grammar.caption(random_scene(rng, Curriculum(pairs=0.5, sized=0.5)), rng)
        lengths.append(len(tokenizer.inner(text)["input_ids"]))
    print(f"{tokenizer.end + 1} tokens; captions are {np.mean(lengths):.1f} long, at most {max(lengths)}")
    print(tokenizer.inner.tokenize("a cat on a blue background, wonderful"))


if __name__ == "__main__":
    main()
