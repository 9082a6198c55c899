"""Reads a single file of tintype's (safetensors or GGUF) back into diffusers' and transformers' classes.

A UNet whose config has "removed_blocks" or "attention_heads" (docs/formats.md) is built with what it
lacks replaced: removed blocks by what is left of them, attention layers by ones with fewer heads.
"""

import inspect
import json

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors import safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from common import fail
from export import TEXT_KEYS

REMOVED, HEADS = "removed_blocks", "attention_heads"


def read_gguf(path):
    import gguf

    reader = gguf.GGUFReader(path)
    texts = {}
    for field in reader.fields.values():
        if field.types and field.types[-1] == gguf.GGUFValueType.STRING and len(field.types) == 1:
            texts[field.name] = field.contents()
    arrays = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        shape = [int(n) for n in reversed(tensor.shape)]
        arrays[tensor.name] = np.ascontiguousarray(values, np.float32).reshape(shape)
    return arrays, texts


def read_safetensors(path):
    with safe_open(path, "np") as file:
        texts = file.metadata() or {}
        arrays = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}
    return arrays, texts


def read(path):
    """({name: float32 array}, {metadata key: text}) of one of tintype's own files."""
    with open(path, "rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    arrays, texts = (read_gguf if is_gguf else read_safetensors)(path)
    if "tintype.unet" not in texts:
        fail(f"{path} is no single file of tintype's: its metadata has no tintype.unet")
    return arrays, texts


def part(arrays, name):
    """The tensors of one component under their own names."""
    return {k[len(name) + 1 :]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(name + ".")}


class GoneResidual(nn.Module):
    """What stays of a removed residual block: its shortcut, where channels change or a skip is joined."""

    def __init__(self, block):
        super().__init__()
        self.conv_shortcut = block.conv_shortcut

    def forward(self, hidden, *_, **__):
        return hidden if self.conv_shortcut is None else self.conv_shortcut(hidden)


class GoneTransformer(nn.Module):
    """A removed transformer block."""

    def forward(self, hidden, *_, **__):
        return hidden


class GoneAttention(nn.Module):
    """An attention module without any transformer block."""

    def forward(self, hidden, *_, **__):
        return (hidden,)


def replace(unet, name, module):
    parent, _, child = name.rpartition(".")
    parent = unet.get_submodule(parent)
    if isinstance(parent, nn.ModuleList):
        parent[int(child)] = module
    else:
        setattr(parent, child, module)


def keep_heads(attention, heads):
    """Narrows a fresh attention layer; which heads stayed is the weights' concern."""
    size = attention.to_q.out_features // attention.heads
    width = heads * size

    def linear(old, inputs, outputs):
        return nn.Linear(inputs, outputs, bias=old.bias is not None)

    for name in ("to_q", "to_k", "to_v"):
        old = getattr(attention, name)
        setattr(attention, name, linear(old, old.in_features, width))
    old = attention.to_out[0]
    attention.to_out[0] = linear(old, width, old.out_features)
    attention.heads, attention.inner_dim, attention.inner_kv_dim = heads, width, width


def cut(unet, config):
    """Leaves out of a whole UNet what its config says."""
    for name, heads in (config.get(HEADS) or {}).items():
        keep_heads(unet.get_submodule(name), heads)
    modules = dict(unet.named_modules())
    for name in config.get(REMOVED) or []:
        if ".resnets." in name:
            replace(unet, name, GoneResidual(modules[name]))
        elif name.endswith(".attn1") or name.endswith(".attn2"):
            fail(f"{name} cannot be removed alone")
        elif ".transformer_blocks." in name:
            replace(unet, name, GoneTransformer())
        else:
            replace(unet, name, GoneAttention())
    for name, module in modules.items():
        blocks = getattr(module, "transformer_blocks", None)
        if blocks is not None and all(isinstance(block, GoneTransformer) for block in blocks):
            replace(unet, name, GoneAttention())
    return unet


def build_unet(arrays, texts):
    """A UNet2DConditionModel with the file's weights, pruned as its config says."""
    config = json.loads(texts["tintype.unet"])
    known = inspect.signature(UNet2DConditionModel.__init__).parameters
    unet = UNet2DConditionModel(**{k: v for k, v in config.items() if k in known})
    unet.set_attn_processor(AttnProcessor())
    cut(unet, config)
    tensors = part(arrays, "unet")
    wanted = unet.state_dict()
    for name, tensor in tensors.items():  # a linear layer and a 1x1 convolution are one thing
        if name in wanted and tensor.numel() == wanted[name].numel():
            tensors[name] = tensor.reshape(wanted[name].shape)
    unet.load_state_dict(tensors)
    return unet


def build_text(arrays, texts):
    """The CLIPTextModel of the file, frozen."""
    config = json.loads(texts["tintype.text_encoder"])
    model = CLIPTextModel(CLIPTextConfig(**{k: config[k] for k in TEXT_KEYS if k in config}))
    tensors = part(arrays, "text_encoder")
    if not any(name.startswith("text_model.") for name in model.state_dict()):
        tensors = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    if unknown or any(not name.endswith("position_ids") for name in missing):
        fail(f"the text encoder's weights do not fit its config: {[*missing, *unknown][:3]}")
    return model.eval().requires_grad_(False)


def build_vae(arrays, texts):
    """The AutoencoderTiny of the file, frozen."""
    config = json.loads(texts["tintype.vae"])
    known = inspect.signature(AutoencoderTiny.__init__).parameters
    model = AutoencoderTiny(**{k: v for k, v in config.items() if k in known})
    model.load_state_dict({k: t.reshape(model.state_dict()[k].shape) for k, t in part(arrays, "vae").items()})
    return model.eval().requires_grad_(False)
