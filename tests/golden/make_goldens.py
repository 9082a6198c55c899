#!/usr/bin/env python3
"""Makes the project's own golden set: tiny models and what torch, diffusers and transformers compute with them.

    make_goldens.py [--vocabulary share/bpe_simple_vocab_16e6.txt.gz] [--output tests/golden/data] [--measure]

Every weight and input is a pure function of its name (golden_inputs.py), so that a second run on any machine makes the
same models and the same inputs; outputs may differ in their last bits between processors. README.md beside this file
says what each file holds. --measure also prints how far torch's own float32 is from float64 for each stage."""
import argparse
import os
import shutil

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", DIFFUSERS_VERBOSITY="error",
                  TOKENIZERS_PARALLELISM="false")

import torch

import golden_blocks
import golden_models
import golden_ops
import golden_pipelines
import golden_schedulers
import golden_stages
import golden_tokens
import golden_upscale


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(folder) for name in names)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocabulary", default=os.path.join(root, "share", "bpe_simple_vocab_16e6.txt.gz"),
                        help="CLIP's merge list, see scripts/fetch-vocabulary.sh")
    parser.add_argument("--output", default=os.path.join(here, "data"))
    parser.add_argument("--measure", action="store_true", help="print float32's own distance from float64")
    options = parser.parse_args()

    torch.set_grad_enabled(False)
    torch.set_num_threads(1)  # one order of summation
    torch.use_deterministic_algorithms(True)
    if os.path.isdir(options.output):
        shutil.rmtree(options.output)
    models = os.path.join(options.output, "models")
    goldens = options.output
    os.makedirs(models)

    golden_models.write_all(models)
    golden_models.verify_all(models)
    golden_tokens.write(goldens, options.vocabulary)
    golden_stages.write(goldens, options.measure)
    golden_schedulers.write(goldens)
    golden_pipelines.write(goldens)
    golden_ops.write(goldens)
    golden_blocks.write(goldens)
    golden_upscale.write(goldens)
    print(f"models {folder_bytes(models)} bytes, all {folder_bytes(options.output)} bytes")


if __name__ == "__main__":
    main()
