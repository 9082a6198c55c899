"""Writes the trained model as a diffusers folder and as one safetensors file.

    python train/export.py --work DIR --folder OUT_DIR --file tintype-mini-f16.safetensors
    python train/export.py --work DIR --checkpoint fast.pt --file tintype-fast-f16.safetensors

The single file holds every component in f16 under its diffusers name with a prefix
(`text_encoder.text_model...`, `unet...`, `vae...`) and the configs, the vocabulary and the licence
in its metadata, so it needs nothing beside it. Equal weights give equal bytes.
"""

import argparse
import inspect
import json
import os
import struct

import numpy as np
import torch

import tokenizer as bpe
from common import fail, load_checkpoint
from autoencoder import load_trained
from networks import Denoiser, build_scheduler

NAME = "tintype-mini"
LICENCE = (
    "Weights: MIT. Trained on pictures composed from the colour emoji font packaged by Debian as "
    "fonts-noto-color-emoji, Copyright 2013-2017 Google Inc. and Arjen Nienhuis, SIL Open Font License 1.1 "
    "(models/OFL.txt)."
)
MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}
TEXT_KEYS = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings "
    "hidden_act layer_norm_eps projection_dim bos_token_id eos_token_id pad_token_id"
).split()
DEFAULTS = {"cfg_scale": "2.5", "steps": "20"}  # of a checkpoint that does not say its own
DTYPES = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}


def load_denoiser(work, checkpoint="denoiser.pt"):
    """The averaged weights of the newest checkpoint; returns (model, checkpoint)."""
    state = load_checkpoint(os.path.join(work, checkpoint))
    if state is None:
        fail(
            f"{work}/{checkpoint} is missing: run train/train.py (for fast.pt train/distill.py, for tiny.pt train/shrink.py) first"
        )
    model = Denoiser(state["vocabulary"], state.get("unet"))
    model.load_state_dict(state["average"])
    return model.eval(), state


def text_tensors(model):
    """Names as on the Hub, with `text_model.`, whichever way this transformers version has them."""
    out = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("position_ids"):
            continue
        out[name if name.startswith("text_model.") else "text_model." + name] = tensor
    return out


def plain_config(part):
    """A diffusers object's config: its class and its constructor's arguments, ready for JSON."""
    arguments = inspect.signature(type(part).__init__).parameters
    config = {k: v for k, v in dict(part.config).items() if k in arguments}
    return {"_class_name": type(part).__name__} | config


def components(work, checkpoint):
    """Everything to write: {component: (config dict, {name: tensor})}."""
    denoiser, state = load_denoiser(work, checkpoint)
    vae = load_trained(work)
    text_config = {key: getattr(denoiser.text.config, key) for key in TEXT_KEYS}
    text_config.update(architectures=["CLIPTextModel"], model_type="clip_text_model")
    parts = {
        "text_encoder": (text_config, text_tensors(denoiser.text)),
        "unet": (plain_config(denoiser.unet), denoiser.unet.state_dict()),
        "vae": (plain_config(vae), vae.state_dict()),
    }
    scheduler = plain_config(build_scheduler())
    return parts, scheduler, state


def half(tensors):
    """f16 numpy arrays; refuses a weight that f16 cannot hold."""
    out = {}
    for name, tensor in tensors.items():
        array = tensor.detach().float().numpy().astype(np.float16)
        if not np.isfinite(array).all():
            fail(f"tensor {name} has values that do not fit f16")
        out[name] = array
    return out


def write_safetensors(path, arrays, metadata):
    """The safetensors layout with sorted keys and 8-byte aligned data; temp file, then rename."""
    header, offset = {"__metadata__": dict(sorted(metadata.items()))}, 0
    for name in sorted(arrays):
        array = arrays[name]
        header[name] = {
            "dtype": DTYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{path}.tmp", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(arrays):
            file.write(np.ascontiguousarray(arrays[name]).tobytes())
    os.replace(f"{path}.tmp", path)


def dump(value):
    return json.dumps(value, indent=1, sort_keys=True)


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write_folder(folder, parts, scheduler, tokenizer_folder):
    """The diffusers layout; weights in f16."""

    def put(name, text):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    put("model_index.json", dump(MODEL_INDEX) + "\n")
    put("scheduler/scheduler_config.json", dump(scheduler) + "\n")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        put(f"tokenizer/{name}", read_text(os.path.join(tokenizer_folder, name)))
    for part, (config, tensors) in parts.items():
        put(f"{part}/config.json", dump(config) + "\n")
        weights = "model.safetensors" if part == "text_encoder" else "diffusion_pytorch_model.safetensors"
        write_safetensors(os.path.join(folder, part, weights), half(tensors), {"format": "pt"})


def preview_rows(work):
    """Three rows of coefficients, of the latent's channels and a constant: red, green, blue in -1..1."""
    return json.dumps({"rows": json.loads(read_text(os.path.join(work, "projection.json")))["rows"]})


def write_file(path, parts, scheduler, state, work):
    """The single file; see the module's text."""
    tokenizer_folder, defaults = os.path.join(work, "tokenizer"), state.get("defaults", DEFAULTS)
    metadata = {
        "tintype.format": "1",
        "tintype.name": state.get("name", NAME),
        "tintype.licence": LICENCE,
        "tintype.default_cfg_scale": defaults["cfg_scale"],
        "tintype.default_steps": defaults["steps"],
        "tintype.preview_projection": preview_rows(work),
        "tintype.model_index": json.dumps(MODEL_INDEX, sort_keys=True),
        "tintype.scheduler": json.dumps(scheduler, sort_keys=True),
        "tintype.vocab": read_text(os.path.join(tokenizer_folder, "vocab.json")),
        "tintype.merges": read_text(os.path.join(tokenizer_folder, "merges.txt")),
        "tintype.tokenizer_config": json.dumps(bpe.config(), sort_keys=True),
    }
    arrays = {}
    for part, (config, tensors) in parts.items():
        metadata[f"tintype.{part}"] = json.dumps(config, sort_keys=True)
        arrays.update({f"{part}.{name}": array for name, array in half(tensors).items()})
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_safetensors(path, arrays, metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder with the checkpoints")
    parser.add_argument("--folder", help="diffusers folder to write")
    parser.add_argument("--file", help="single safetensors file to write")
    parser.add_argument("--checkpoint", default="denoiser.pt", help="file in the work folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts, scheduler, state = components(args.work, args.checkpoint)
    if args.folder:
        write_folder(args.folder, parts, scheduler, os.path.join(args.work, "tokenizer"))
    if args.file:
        write_file(args.file, parts, scheduler, state, args.work)
        print(f"{args.file}: {os.path.getsize(args.file)} bytes")
    print(f"step {state['step']}, {state['samples']} samples")


if __name__ == "__main__":
    main()
