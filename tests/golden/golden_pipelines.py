"""Whole runs of diffusers' pipelines on the tiny models, with every random draw recorded."""
import diffusers
import numpy as np
import torch

from golden_inputs import noise, save_arrays, save_json
from golden_models import BETAS, FOLDERS, module
from golden_savers import save_steps
from golden_schedulers import make_scheduler, record_noise
from golden_tokens import tiny_tokenizer

PIPELINES = {
    "txt2img": diffusers.StableDiffusionPipeline, "img2img": diffusers.StableDiffusionImg2ImgPipeline,
    "inpaint": diffusers.StableDiffusionInpaintPipeline, "sdxl": diffusers.StableDiffusionXLPipeline,
    "lcm": diffusers.LatentConsistencyModelPipeline,
}
CAT = "a photo of an orange cat on the blue chair"
ONE = {**BETAS, "steps_offset": 1}
KARRAS = ("DPMSolverMultistepScheduler", {**ONE, "use_karras_sigmas": True})
DDIM = ("DDIMScheduler", {**ONE, "clip_sample": False, "set_alpha_to_one": False})


def run(name, model, mode="txt2img", **more):
    return {"name": name, "model": model, "mode": mode, "prompt": CAT, "steps": 8, "cfg": 7.5, **more}


RUNS = [
    run("sd1_pndm", "sd1"),
    run("sd1_pndm_neg", "sd1", prompt="a tintype portrait of an old sailor", negative="blurry, low quality",
        latent=[8, 12]),
    run("sd1_nocfg", "sd1", cfg=1.0),
    run("sd1_ddim", "sd1", scheduler=DDIM),
    run("sd1_euler", "sd1", scheduler=("EulerDiscreteScheduler", ONE)),
    run("sd1_euler_a", "sd1", scheduler=("EulerAncestralDiscreteScheduler", ONE)),
    run("sd1_dpmpp2m_karras", "sd1", scheduler=KARRAS),
    run("sd1_unipc", "sd1", scheduler=("UniPCMultistepScheduler", ONE)),
    run("sd1_heun", "sd1", steps=4, scheduler=("HeunDiscreteScheduler", ONE)),
    run("sd1_clipskip", "sd1", steps=5, extra={"clip_skip": 1}),
    run("sd2_ddim_v", "sd2", negative="blurry, low quality"),
    run("bks_pndm", "bks"),
    run("sdxl_euler", "sdxl", "sdxl", cfg=5.0, negative="blurry, low quality", extra={}),
    run("sdxl_euler_noneg", "sdxl", "sdxl", cfg=5.0, negative=None, steps=5),
    run("sdxl_sizes", "sdxl", "sdxl", cfg=5.0, negative="", steps=4, extra={
        "original_size": [512, 768], "crops_coords_top_left": [16, 32], "target_size": [256, 384]}),
    run("lcm4", "lcm", "lcm", cfg=8.5, steps=4),
    run("sd1_img2img", "sd1", "img2img", strength=0.6),
    run("sd1_img2img_ddim", "sd1", "img2img", strength=0.75, scheduler=DDIM),
    run("sd1_img2img_dpmpp", "sd1", "img2img", strength=0.5, scheduler=KARRAS),
    run("sd1_inpaint4", "sd1", "inpaint", strength=1.0),
    run("inpaint9", "inpaint", "inpaint", strength=1.0),
    run("sd1_guidance_part", "sd1", scheduler=DDIM, savers={"guidance": [0.25, 0.7]}),
    run("sd1_reuse", "sd1", latent=[8, 12], scheduler=("EulerDiscreteScheduler", ONE),
        savers={"reuse_interval": 3, "reuse_depth": 2}),
    run("sd1_fewer_keys", "sd1", latent=[12, 20], scheduler=KARRAS, savers={"kv_downsample": 3}),
    run("sdxl_savers", "sdxl", "sdxl", cfg=5.0, negative="blurry, low quality", extra={}, savers={
        "guidance": [0.0, 0.5], "reuse_interval": 2, "reuse_depth": 3, "kv_downsample": 1}),
    run("sd1_img2img_reuse", "sd1", "img2img", strength=0.75, scheduler=DDIM,
        savers={"reuse_interval": 2, "reuse_depth": 1}),
]


def build_pipeline(spec):
    entry = FOLDERS[spec["model"]]
    parts = {role: module(component) for role, component in entry["components"].items()}
    for i, pad in enumerate(entry["pads"]):
        parts["tokenizer" if i == 0 else f"tokenizer_{i + 1}"] = tiny_tokenizer(pad)
    if spec["mode"] == "sdxl":
        parts["add_watermarker"] = False
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    scheduler, _ = make_scheduler(*spec["scheduler"])
    pipeline = PIPELINES[spec["mode"]](scheduler=scheduler, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def source_pictures(spec, height, width):
    """The given picture and mask (white: repaint) of img2img and inpaint runs."""
    given = {"image": np.clip(noise(f"pipe.{spec['name']}.image", (1, 3, height, width), 0.5), -1, 1)}
    if spec["mode"] == "inpaint":
        given["mask"] = np.zeros((1, 1, height, width), np.float32)
        given["mask"][:, :, height // 4 : height * 3 // 4, width // 3 :] = 1
    return given


def arguments_of(spec, factor, given, steps):
    height, width = (side * factor for side in spec.get("latent", (8, 8)))
    def keep(_pipeline, _index, _timestep, tensors):
        steps.append(tensors["latents"].numpy().copy())
        return tensors
    arguments = dict(prompt=spec["prompt"], num_inference_steps=spec["steps"], guidance_scale=spec["cfg"],
                     output_type="latent", callback_on_step_end=keep, callback_on_step_end_tensor_inputs=["latents"])
    if spec["mode"] != "lcm":
        arguments["negative_prompt"] = spec.get("negative", "")
    if spec["mode"] in ("img2img", "inpaint"):
        given |= source_pictures(spec, height, width)
        arguments |= {"image": torch.from_numpy(given["image"].copy()), "strength": spec["strength"]}
    if "mask" in given:
        arguments["mask_image"] = torch.from_numpy(given["mask"].copy())
    if spec["mode"] != "img2img":
        arguments |= {"height": height, "width": width}
    extra = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.get("extra", {}).items()}
    return arguments | extra


def write_run(folder, spec):
    pipeline, steps, arrays = build_pipeline(spec), [], {}
    hooks = save_steps(pipeline.unet, spec)
    recorded = record_noise("pipe." + spec["name"])
    final = pipeline(**arguments_of(spec, pipeline.vae_scale_factor, arrays, steps)).images
    for hook in hooks:
        hook.remove()
    arrays |= {f"noise{i}": draw for i, draw in enumerate(recorded.draws)}
    arrays["timesteps"] = pipeline.scheduler.timesteps.double()
    arrays["latents_steps"] = np.concatenate(steps)
    arrays["latents_final"] = final
    image = pipeline.vae.decode(final / pipeline.vae.config.scaling_factor).sample
    arrays["image_out"] = image
    bytes_ = (image / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255
    arrays["image_u8"] = bytes_.round().to(torch.uint8)
    save_arrays(folder, "pipe_" + spec["name"], arrays)
    return {**spec, "noise_shapes": [list(draw.shape) for draw in recorded.draws],
            "latent_std": float(final.std())}


def write(folder):
    entries = []
    for spec in RUNS:
        spec = {**spec, "scheduler": spec.get("scheduler", FOLDERS[spec["model"]]["scheduler"])}
        entries.append(write_run(folder, spec))
    save_json(folder, "pipes", entries)
