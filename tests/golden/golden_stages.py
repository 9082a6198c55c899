"""Goldens of single passes: text encoders, time embedding, UNets (with a trace), VAEs."""
import copy

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding

from golden_inputs import noise, save_arrays
from golden_models import COMPONENTS, module
from golden_tokens import cut_and_pad, tiny_tokenizer

TEXT_PROMPTS = ["", "a tintype portrait of an old sailor", "cat " * 90]
TEXT_ENCODERS = {"sd1_te": None, "sd2_te": "!", "sdxl_te1": None, "sdxl_te2": "!"}  # with their pad tokens
UNETS = [name for name, entry in COMPONENTS.items() if entry["class"] is UNet2DConditionModel]
VAES = [name for name, entry in COMPONENTS.items() if entry["class"] is AutoencoderKL]
# height, width, batch, timesteps; 9x7 has odd sizes on the way down
UNET_CASES = ((8, 8, 2, (0, 1, 500, 981, 999)), (8, 12, 1, (261,)), (9, 7, 1, (741,)))
TRACE = "sd1_unet"


def relative_error(found, reference):
    reference = reference.double()
    return float((found.double() - reference).square().mean().sqrt() / reference.std(correction=0))


def write_text(folder, measure):
    arrays = {}
    for name, pad in TEXT_ENCODERS.items():
        encoder, tokenizer = module(name), tiny_tokenizer(pad)
        ids = torch.tensor([cut_and_pad(tokenizer, prompt) for prompt in TEXT_PROMPTS])
        out = encoder(ids, output_hidden_states=True)
        penultimate = out.hidden_states[-2]
        arrays[f"{name}.ids"] = ids.int()
        arrays[f"{name}.last_hidden"] = out.last_hidden_state
        arrays[f"{name}.penultimate"] = penultimate  # before the final norm: what SDXL takes
        arrays[f"{name}.clip_skip2"] = encoder.text_model.final_layer_norm(penultimate)
        if hasattr(out, "text_embeds"):
            arrays[f"{name}.text_embeds"] = out.text_embeds
        else:
            arrays[f"{name}.pooled"] = out.pooler_output
        if name == "sd1_te":
            for i, hidden in enumerate(out.hidden_states):
                arrays[f"{name}.hidden{i}"] = hidden[:1]
        if measure:
            exact = copy.deepcopy(encoder).double()(ids).last_hidden_state
            print(f"   {name}: float32 is {relative_error(out.last_hidden_state, exact):.1e} from float64")
    save_arrays(folder, "text", arrays)


def write_timestep_embedding(folder):
    timesteps = torch.tensor([0, 1, 7, 333.5, 500, 999], dtype=torch.float32)
    arrays = {"timesteps": timesteps}
    for width in (32, 320):
        arrays[f"temb{width}"] = get_timestep_embedding(timesteps, width, flip_sin_to_cos=True, downscale_freq_shift=0)
    save_arrays(folder, "timestep_embedding", arrays)


def unet_inputs(name, height, width, batch):
    """Inputs of a case as {array name: tensor}; the second half of a batch has its own context."""
    config = COMPONENTS[name]["config"]
    given = {"x": noise(f"{name}.x{height}x{width}", (batch, config["in_channels"], height, width)),
             "ctx": noise(f"{name}.ctx", (2, 77, config["cross_attention_dim"]))[:batch]}
    if "addition_time_embed_dim" in config:
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        given["text_embeds"] = noise(f"{name}.pooled", (2, pooled))[:batch]
        given["time_ids"] = np.array([[768, 1024, 0, 32, 768, 1024], [512, 640, 16, 0, 512, 512]], np.float32)[:batch]
    if "time_cond_proj_dim" in config:
        given["timestep_cond"] = noise(f"{name}.cond", (2, config["time_cond_proj_dim"]))[:batch]
    return {key: torch.from_numpy(value.copy()) for key, value in given.items()}


def run_unet(unet, given, timestep):
    more = {}
    if "text_embeds" in given:
        more["added_cond_kwargs"] = {key: given[key] for key in ("text_embeds", "time_ids")}
    if "timestep_cond" in given:
        more["timestep_cond"] = given["timestep_cond"]
    return unet(given["x"], timestep, given["ctx"], **more).sample


def write_unet(folder, name, measure):
    unet, arrays = module(name), {}
    for height, width, batch, timesteps in UNET_CASES:
        given = unet_inputs(name, height, width, batch)
        arrays |= {f"{height}x{width}.{key}": value for key, value in given.items()}
        for timestep in timesteps:
            arrays[f"{height}x{width}.t{timestep}.out"] = run_unet(unet, given, timestep)
    save_arrays(folder, "unet_" + name, arrays)
    if measure:
        given = unet_inputs(name, 8, 8, 2)
        exact = run_unet(copy.deepcopy(unet).double(), {k: v.double() for k, v in given.items()}, 500)
        out = arrays["8x8.t500.out"]
        print(f"   {name}: std {float(out.std()):.2f}, float32 is {relative_error(out, exact):.1e} from float64")


def is_traced(name, inner):
    """Blocks, resnets, attentions, samplers and, inside attentions, the first transformer block as a whole."""
    if type(inner).__name__ in ("ModuleList", "SiLU", "Dropout", "Identity"):
        return False
    parts = name.split(".")
    return len(parts) <= 2 or parts[-1].isdigit() and len(parts) <= 4 or parts[-2:] == ["transformer_blocks", "0"]


def write_trace(folder):
    """Outputs of the inner modules at t = 500 for the first sample of the 8x8 case."""
    unet, arrays, hooks = module(TRACE), {}, []

    def keep(name):
        def hook(_module, _given, out):
            out = out[0] if isinstance(out, tuple) else getattr(out, "sample", out)
            if torch.is_tensor(out):
                arrays.setdefault(name, out.clone())
        return hook

    for name, inner in unet.named_modules():
        if name and is_traced(name, inner):
            hooks.append(inner.register_forward_hook(keep(name)))
    given = {key: value[:1] for key, value in unet_inputs(TRACE, 8, 8, 2).items()}
    run_unet(unet, given, 500)
    for hook in hooks:
        hook.remove()
    save_arrays(folder, "trace_unet_" + TRACE, arrays)


def picture(name, height, width):
    return torch.from_numpy(np.clip(noise(name, (1, 3, height, width), 0.5), -1, 1))


def write_vae(folder, name, measure):
    vae, arrays = module(name), {}
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    for height, width in ((8, 8), (6, 9)):
        case = f"{height}x{width}"
        z = torch.from_numpy(noise(f"{name}.z{case}", (1, 4, height, width)))
        image = picture(f"{name}.image{case}", height * factor, width * factor)
        coded = vae.encode(image).latent_dist
        arrays |= {f"{case}.z": z, f"{case}.decoded": vae.decode(z).sample, f"{case}.image": image,
                   f"{case}.mean": coded.mean, f"{case}.logvar": coded.logvar}
    save_arrays(folder, "vae_" + name, arrays)
    if measure:
        exact = copy.deepcopy(vae).double().decode(arrays["8x8.z"].double()).sample
        print(f"   {name}: std {float(exact.std()):.2f}, float32 is "
              f"{relative_error(arrays['8x8.decoded'], exact):.1e} from float64")


def write_taesd(folder):
    taesd, arrays = module("taesd"), {}
    for height, width in ((8, 8), (6, 9)):
        case = f"{height}x{width}"
        z = torch.from_numpy(noise(f"taesd.z{case}", (1, 4, height, width), 2))
        image = picture(f"taesd.image{case}", height * 8, width * 8)
        arrays |= {f"{case}.z": z, f"{case}.decoded": taesd.decode(z).sample, f"{case}.image": image,
                   f"{case}.latents": taesd.encode(image).latents}
    save_arrays(folder, "taesd", arrays)


def write(folder, measure):
    write_text(folder, measure)
    write_timestep_embedding(folder)
    for name in UNETS:
        write_unet(folder, name, measure)
    write_trace(folder)
    for name in VAES:
        write_vae(folder, name, measure)
    write_taesd(folder)
