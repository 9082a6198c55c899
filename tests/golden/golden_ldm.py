"""Tensor names of single-file checkpoints: LDM (UNet, VAE), Hugging Face CLIP and OpenCLIP, from diffusers' names."""
import re

import numpy as np
import torch

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_ENDS = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
             "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
             "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}


def unet_name(name, n_resnets):
    """LDM counts input blocks through the levels (each level: its resnets, then the downsampler) and output blocks
    likewise (the upsampler is the last part of its level's last block)."""
    stem, leaf = name.rsplit(".", 1)
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    middle = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    if middle:
        kind, index, rest = middle.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}." + inner_name(kind, rest)
    side, level, kind, index, rest = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name).groups()
    level, index = int(level), int(index)
    if side == "down":
        first = 1 + level * (n_resnets + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + n_resnets}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{first + index}.{int(kind == 'attentions')}." + inner_name(kind, rest)
    first = level * (n_resnets + 1)
    if kind == "upsamplers":
        return f"output_blocks.{first + n_resnets}.UPSAMPLER.{rest}"
    return f"output_blocks.{first + index}.{int(kind == 'attentions')}." + inner_name(kind, rest)


def inner_name(kind, rest):
    if kind != "resnets":
        return rest
    layer, leaf = rest.rsplit(".", 1)
    return f"{RESNET[layer]}.{leaf}"


def unet(weights, config):
    n_resnets = config["layers_per_block"]
    named = {unet_name(name, n_resnets): value for name, value in weights.items()}
    out = {}
    for name, value in named.items():
        if ".UPSAMPLER." in name:  # after the resnet and, where the block has one, its attention
            block = name.split(".UPSAMPLER.")[0]
            place = 2 if any(other.startswith(block + ".1.") for other in named) else 1
            name = name.replace("UPSAMPLER", str(place))
        out["model.diffusion_model." + name] = value
    assert len(out) == len(weights)
    return out


def vae_name(name, n_levels):
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    match = re.match(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.*)\.(weight|bias)$", name)
    if match:
        return f"{match[1]}.mid.attn_1.{attention[match[2]]}.{match[3]}"
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    # LDM numbers the decoder's levels by resolution, diffusers by order of execution.
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{n_levels - 1 - int(m[1])}.block.", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{n_levels - 1 - int(m[1])}.upsample.", name)
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def vae(weights, config):
    out = {}
    for name, value in weights.items():
        ldm = vae_name(name, len(config["block_out_channels"]))
        if ".attn_1." in ldm and value.ndim == 2:
            value = value[:, :, None, None]  # LDM's projections are 1x1 convolutions
        out["first_stage_model." + ldm] = value
    assert len(out) == len(weights)
    return out


def clip(weights, prefix):
    return {prefix + name: value for name, value in weights.items()}


def open_clip(weights, prefix):
    """OpenCLIP fuses q, k, v and keeps the projection as [in, out]."""
    ends = {"text_model.embeddings.position_embedding.weight": "positional_embedding",
            "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
            "text_model.final_layer_norm.weight": "ln_final.weight", "text_model.final_layer_norm.bias": "ln_final.bias"}
    layers = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
              "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    out, parts = {}, {}
    for name, value in weights.items():
        if name in ends:
            out[prefix + ends[name]] = value
        elif name == "text_projection.weight":
            out[prefix + "text_projection"] = value.T
        else:
            index, layer, leaf = re.match(r"text_model\.encoder\.layers\.(\d+)\.(.*)\.(weight|bias)$", name).groups()
            block = f"{prefix}transformer.resblocks.{index}."
            if layer in layers:
                out[f"{block}{layers[layer]}.{leaf}"] = value
            else:
                parts.setdefault(f"{block}attn.in_proj_{leaf}", {})[layer] = value
    for name, found in parts.items():
        out[name] = np.concatenate([found[f"self_attn.{x}_proj"] for x in "qkv"])
    return out


def verify(checkpoint, parts, compare_state, config_of):
    """Converts a single file with diffusers' own converters and compares every tensor."""
    from diffusers.loaders import single_file_utils as convert

    as_torch = {name: torch.from_numpy(value) for name, value in checkpoint.items()}
    numpy_state = lambda state: {name: value.numpy() for name, value in state.items()}
    compare_state(parts["unet"], numpy_state(
        convert.convert_ldm_unet_checkpoint(dict(as_torch), config_of(parts["unet"]))))
    compare_state(parts["vae"], numpy_state(
        convert.convert_ldm_vae_checkpoint(dict(as_torch), config_of(parts["vae"]))))
    if "text_encoder_2" in parts:
        compare_open_clip(as_torch, parts["text_encoder_2"], compare_state, config_of)
    prefix = "conditioner.embedders.0.transformer." if "text_encoder_2" in parts else "cond_stage_model.transformer."
    compare_state(parts["text_encoder"], {name.removeprefix(prefix): value for name, value in checkpoint.items()
                                          if name.startswith(prefix)})


def compare_open_clip(checkpoint, component, compare_state, config_of):
    """diffusers' OpenCLIP converter takes an empty transformers model and the prefix."""
    from diffusers.loaders import single_file_utils as convert
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection(CLIPTextConfig(**{
        key: value for key, value in config_of(component).items() if key != "architectures"}))
    state = convert.convert_open_clip_checkpoint(model, dict(checkpoint), prefix="conditioner.embedders.1.model.")
    compare_state(component, {name: value.numpy() for name, value in state.items()})
