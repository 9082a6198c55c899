"""The tiny models: configurations, weights by name, and their files as diffusers folders and single LDM files."""
import json
import os

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.numpy import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import golden_ldm
from golden_inputs import unit_noise
from golden_tokens import BOS, EOS, TINY_SIZE, tiny_vocabulary

DIFFUSERS_FORMAT = "0.31.0"  # what the folders claim to be written by; only readers' compatibility depends on it


def unet(channels, heads, context, groups, **more):
    config = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=channels, layers_per_block=1,
                  down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                  up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                  attention_head_dim=heads, cross_attention_dim=context, norm_num_groups=groups)
    return {"class": UNet2DConditionModel, "config": {**config, **more}}


def vae(channels, groups, scaling_factor=0.18215):
    config = dict(block_out_channels=channels, layers_per_block=1, latent_channels=4, norm_num_groups=groups,
                  down_block_types=("DownEncoderBlock2D",) * len(channels),
                  up_block_types=("UpDecoderBlock2D",) * len(channels), sample_size=16, scaling_factor=scaling_factor)
    return {"class": AutoencoderKL, "config": config}


def clip(width, n_layers, n_heads, activation, projection=None):
    config = dict(vocab_size=TINY_SIZE, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=n_layers,
                  num_attention_heads=n_heads, hidden_act=activation, projection_dim=projection or width,
                  max_position_embeddings=77, bos_token_id=TINY_SIZE - 2, eos_token_id=TINY_SIZE - 1,
                  pad_token_id=TINY_SIZE - 1)
    return {"class": CLIPTextModelWithProjection if projection else CLIPTextModel, "config": config}


# sd1's UNet keeps SD1's own rules (8 heads, 32 groups), so that its single file needs no help with it; the others are
# as small as their feature allows, with groups of one, two and four channels and heads of four and eight.
COMPONENTS = {
    "sd1_unet": unet((32, 32), 8, 32, 32),
    "sd1_vae": vae((8, 16), 4),
    "sd1_te": clip(32, 2, 4, "quick_gelu"),
    "sd2_unet": unet((8, 16), (1, 2), 16, 4, use_linear_projection=True),
    "sd2_te": clip(16, 3, 2, "gelu"),
    "tiny_vae": vae((8, 8), 4),
    "tiny_te": clip(8, 2, 2, "quick_gelu"),
    "bks_unet": unet((8, 16), 2, 8, 4, mid_block_type=None),
    "lcm_unet": unet((8, 16), 1, 8, 8, time_cond_proj_dim=16),
    "inpaint_unet": unet((8, 8), 2, 8, 4, in_channels=9),
    "sdxl_unet": unet((8, 8, 16), (1, 2, 2), 24, 4, use_linear_projection=True,
                      down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                      up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                      transformer_layers_per_block=(1, 1, 2), addition_embed_type="text_time",
                      addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 12),
    "sdxl_vae": vae((8, 8), 4, 0.13025),
    "sdxl_te1": clip(8, 3, 2, "quick_gelu"),
    "sdxl_te2": clip(16, 3, 4, "gelu", 12),
    "taesd": {"class": AutoencoderTiny, "config": dict(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1, 1, 2, 1), num_decoder_blocks=(1, 2, 1, 1))},
}

BETAS = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
PNDM = ("PNDMScheduler", {**BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1})
DDIM_V = ("DDIMScheduler", {**BETAS, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
                            "prediction_type": "v_prediction"})
EULER_XL = ("EulerDiscreteScheduler", {**BETAS, "steps_offset": 1, "timestep_spacing": "leading"})
LCM = ("LCMScheduler", {**BETAS, "clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1,
                        "original_inference_steps": 50, "timestep_spacing": "leading"})


def family(pipeline, scheduler, pads=(None,), prefixed=True, **components):
    return {"class": pipeline, "scheduler": scheduler, "pads": pads, "prefixed": prefixed, "components": components}


# prefixed: text encoder tensors begin with "text_model.", as transformers before version 5 wrote them.
FOLDERS = {
    "sd1": family("StableDiffusionPipeline", PNDM, unet="sd1_unet", vae="sd1_vae", text_encoder="sd1_te"),
    "sd2": family("StableDiffusionPipeline", DDIM_V, ("!",), False, unet="sd2_unet", vae="tiny_vae",
                  text_encoder="sd2_te"),
    "bks": family("StableDiffusionPipeline", PNDM, unet="bks_unet", vae="tiny_vae", text_encoder="tiny_te"),
    "lcm": family("LatentConsistencyModelPipeline", LCM, unet="lcm_unet", vae="tiny_vae", text_encoder="tiny_te"),
    "inpaint": family("StableDiffusionInpaintPipeline", PNDM, unet="inpaint_unet", vae="tiny_vae",
                      text_encoder="tiny_te"),
    "sdxl": family("StableDiffusionXLPipeline", EULER_XL, (None, "!"), unet="sdxl_unet", vae="sdxl_vae",
                   text_encoder="sdxl_te1", text_encoder_2="sdxl_te2"),
}
SINGLE_FILES = ("sd1", "sdxl")


def new_module(component):
    entry = COMPONENTS[component]
    if issubclass(entry["class"], (CLIPTextModel, CLIPTextModelWithProjection)):
        return entry["class"](CLIPTextConfig(**entry["config"])).eval()
    return entry["class"](**entry["config"]).eval()


def canonical(component, key):
    """Text encoder names with the prefix, whatever this version of transformers calls them."""
    plain = COMPONENTS[component]["class"] is CLIPTextModel and not key.startswith("text_model.")
    return "text_model." + key if plain else key


def make_weight(name, shape):
    """Scaled so that activations stay near 1: 1/sqrt(fan in) for layers, near 1 for the scale of a norm."""
    values = unit_noise("weight/" + name, shape)
    if name.endswith("bias"):
        values = 0.05 * values
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    elif "embedding.weight" in name:
        values = 0.5 * values
    else:
        values = values / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float16)


def weights(component):
    """{canonical name: float16 array} of a component."""
    state = new_module(component).state_dict()
    names = {key: canonical(component, key) for key in state if not key.endswith("position_ids")}
    return {name: make_weight(f"{component}/{name}", tuple(state[key].shape)) for key, name in names.items()}


_modules = {}


def module(component):
    """The component with its weights, float32."""
    if component not in _modules:
        built = new_module(component)
        made = weights(component)
        state = {key: torch.from_numpy(made[canonical(component, key)].astype(np.float32))
                 for key in built.state_dict() if not key.endswith("position_ids")}
        left = built.load_state_dict(state, strict=False)
        assert not left.unexpected_keys and all("position_ids" in key for key in left.missing_keys), left
        if not hasattr(built, "text_model") and isinstance(built, CLIPTextModel):
            # diffusers' clip_skip looks for the name that transformers 5 dropped; not as a submodule of itself.
            object.__setattr__(built, "text_model", built)
        _modules[component] = built
    return _modules[component]


def config_of(component):
    """The text of config.json as a dictionary."""
    built = new_module(component)
    name = type(built).__name__
    if hasattr(built, "to_json_string"):
        config = json.loads(built.to_json_string())
        config["_diffusers_version"] = DIFFUSERS_FORMAT
        return config
    keys = [*COMPONENTS[component]["config"], "layer_norm_eps"]
    return {"architectures": [name], "model_type": "clip_text_model", "torch_dtype": "float16",
            **{key: getattr(built.config, key) for key in keys}}


def write_text(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_tensors(path, tensors, metadata):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}, path, metadata=metadata)
    os.chmod(path, 0o644)


def write_component(folder, component, prefixed=True):
    text = "_te" in component
    tensors = weights(component)
    if text and not prefixed:
        tensors = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    stem = "model" if text else "diffusion_pytorch_model"
    write_tensors(f"{folder}/{stem}.safetensors", tensors, {"format": "pt"})
    write_json(f"{folder}/config.json", config_of(component))


def write_tokenizer(folder, pad):
    vocabulary, merges = tiny_vocabulary()
    write_text(f"{folder}/vocab.json", json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")))
    write_text(f"{folder}/merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_json(f"{folder}/tokenizer_config.json", {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": BOS, "eos_token": EOS,
        "unk_token": EOS, "pad_token": pad or EOS, "do_lower_case": True, "add_prefix_space": False})


def scheduler_config(scheduler):
    return {"_class_name": scheduler[0], "_diffusers_version": DIFFUSERS_FORMAT, **scheduler[1]}


def write_folder(folder, entry):
    index = {"_class_name": entry["class"], "_diffusers_version": DIFFUSERS_FORMAT}
    for role, component in entry["components"].items():
        write_component(f"{folder}/{role}", component, entry["prefixed"])
        name = COMPONENTS[component]["class"].__name__
        index[role] = ["transformers" if name.startswith("CLIP") else "diffusers", name]
    for i, pad in enumerate(entry["pads"]):
        role = "tokenizer" if i == 0 else f"tokenizer_{i + 1}"
        write_tokenizer(f"{folder}/{role}", pad)
        index[role] = ["transformers", "CLIPTokenizer"]
    index["scheduler"] = ["diffusers", entry["scheduler"][0]]
    write_json(f"{folder}/scheduler/scheduler_config.json", scheduler_config(entry["scheduler"]))
    write_json(f"{folder}/model_index.json", index)


def write_single_file(stem, entry):
    """STEM.safetensors as LDM tools write it, and STEM.json beside it with what tensors alone cannot tell."""
    parts = entry["components"]
    tensors = golden_ldm.unet(weights(parts["unet"]), COMPONENTS[parts["unet"]]["config"])
    tensors |= golden_ldm.vae(weights(parts["vae"]), COMPONENTS[parts["vae"]]["config"])
    if "text_encoder_2" in parts:
        tensors |= golden_ldm.clip(weights(parts["text_encoder"]), "conditioner.embedders.0.transformer.")
        tensors |= golden_ldm.open_clip(weights(parts["text_encoder_2"]), "conditioner.embedders.1.model.")
    else:
        tensors |= golden_ldm.clip(weights(parts["text_encoder"]), "cond_stage_model.transformer.")
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = np.arange(77, dtype=np.int64)[None]
    # What real checkpoints carry besides: the training's own tables and a moving average of a weight.
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    tensors["alphas_cumprod"] = np.cumprod(1 - betas).astype(np.float32)
    tensors["model_ema.decay"] = np.array([0.9999], np.float32)
    tensors["model_ema.diffusion_modelout2bias"] = tensors["model.diffusion_model.out.2.bias"]
    write_tensors(stem + ".safetensors", tensors, {"modelspec.title": os.path.basename(stem)})
    write_json(stem + ".json", {
        **{role: config_of(component) for role, component in parts.items()},
        "scheduler": scheduler_config(entry["scheduler"])})


def write_taesd(folder):
    """One component folder in diffusers' names, and the two files of the original project (decoder index + 1)."""
    write_component(f"{folder}/components/taesd", "taesd")
    for part, shift in (("encoder", 0), ("decoder", 1)):
        tensors = {}
        for name, value in weights("taesd").items():
            if name.startswith(part + ".layers."):
                index, rest = name.removeprefix(part + ".layers.").split(".", 1)
                tensors[f"{int(index) + shift}.{rest}"] = value
        write_tensors(f"{folder}/taesd_{part}.safetensors", tensors, None)


def write_all(folder):
    for name, entry in FOLDERS.items():
        write_folder(f"{folder}/{name}", entry)
    for name in SINGLE_FILES:
        write_single_file(f"{folder}/{name}", FOLDERS[name])
    write_taesd(folder)


def verify_all(folder):
    """The libraries' own readers must get back every weight, from the folders and, converted, from the single files."""
    for name, entry in FOLDERS.items():
        for role, component in entry["components"].items():
            read = COMPONENTS[component]["class"].from_pretrained(f"{folder}/{name}/{role}", dtype=torch.float16) \
                if "_te" in component else \
                COMPONENTS[component]["class"].from_pretrained(f"{folder}/{name}/{role}", torch_dtype=torch.float16)
            compare_state(component, {canonical(component, k): v.numpy() for k, v in read.state_dict().items()})
    for name in SINGLE_FILES:
        golden_ldm.verify(load_file(f"{folder}/{name}.safetensors"), FOLDERS[name]["components"], compare_state,
                          config_of)


def compare_state(component, found):
    expected = weights(component)
    found = {key: value for key, value in found.items() if not key.endswith("position_ids")}
    assert expected.keys() == found.keys(), (component, sorted(expected.keys() ^ found.keys())[:8])
    for key, value in expected.items():
        assert np.array_equal(value, found[key].reshape(value.shape)), (component, key)
