"""Pictures from the trained weights through diffusers' own classes (no engine involved)."""

import os

import torch
from PIL import Image

import sheets
import tokenizer as bpe
from autoencoder import load_trained
from export import load_denoiser
from latents import CHANNELS, PATCH
from networks import build_scheduler


class Sampler:
    """DDIM with classifier-free guidance (none at scale 1) on the newest checkpoints in `work`."""

    def __init__(self, work, checkpoint="denoiser.pt"):
        self.model, self.state = load_denoiser(work, checkpoint)
        self.vae = load_trained(work)
        self.tokenizer = bpe.Tokenizer(os.path.join(work, "tokenizer"))

    def _predict(self, x, t, context, scale):
        if scale == 1:
            return self.model.unet(x, t, encoder_hidden_states=context[len(x) :]).sample
        both = self.model.unet(torch.cat([x, x]), t, encoder_hidden_states=context).sample
        plain, guided = both.chunk(2)
        return plain + scale * (guided - plain)

    @torch.no_grad()
    def __call__(self, prompts, seeds, steps=20, scale=2.5, side=512):
        """uint8 [N,side,side,3]; each picture's noise depends on its own seed alone."""
        ids = torch.tensor([self.tokenizer(text, bpe.LENGTH) for text in [""] * len(prompts) + list(prompts)])
        context = self.model.text(input_ids=ids).last_hidden_state
        shape = (1, CHANNELS, side // PATCH, side // PATCH)
        x = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        scheduler = build_scheduler()
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            x = scheduler.step(self._predict(x, t, context, scale), t, x).prev_sample
        pixels = torch.cat([self.vae.decode(row[None]).sample for row in x])
        return ((pixels.clamp(-1, 1) + 1) * 127.5 + 0.5).byte().permute(0, 2, 3, 1).numpy()


def main():
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True, help="PNG of one picture, or a sheet of several")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--scale", type=float, default=2.5)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--checkpoint", default="denoiser.pt", help="file in WORK")
    parser.add_argument("prompts", nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(1, len(args.prompts) + 1)
    images = Sampler(args.work, args.checkpoint)(args.prompts, seeds, args.steps, args.scale, args.side)
    if len(images) == 1:
        Image.fromarray(images[0]).save(args.out)
    else:
        tiles = [Image.fromarray(image) for image in images]
        sheets.grid([tiles[i : i + 6] for i in range(0, len(tiles), 6)], tile=200).save(args.out)


if __name__ == "__main__":
    main()
