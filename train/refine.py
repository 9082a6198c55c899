"""Trains the decoder again, alone, on latents as the diffusion model leaves them.

    python train/refine.py --work DIR          resumes by itself

What a sampler gives is not quite what the encoder gives: the channels of fine detail are a little wrong, and a
decoder that never saw that draws it as mottled grounds and ragged edges. So scenes are encoded, noised to a random
level and brought back by the trained UNet in a few DDIM steps, half of them with guidance, and the decoder learns to
make the scene's own pixels of that (as consistency decoders do: Betker et al., 2023, without their diffusion). Every
fourth batch is as it was encoded, so that img2img keeps what it was given. The encoder, and with it all latents,
stays as it is. The result, DIR/refine.pt, is what export.py takes the decoder from.
"""

import argparse
import copy
import math
import os

import numpy as np
import torch

import grammar
import tokenizer as bpe
from autoencoder import CROP, HALF_SHARE, REFINED, decoder_loss, go_on, load_trained, psnr
from common import append_row, forget_after, load_checkpoint, save_checkpoint, say, setup_threads
from export import load_denoiser
from latents import PATCH
from networks import Diffusion
from parallel import average_gradients, launch
from render import EXACT, LOOSE, draw_scene, encode
from scenes import SIZE, Painter, half_size

RATE, FLOOR, WARMUP, EMA = 1.0e-3, 0.01, 50, 0.998
LEVELS, STRETCH = (10, 450), 150  # noise that is added; a DDIM step for every STRETCH of it
SCALE, GUIDED, PLAIN, NOISE = (
    2.5,
    0.5,
    0.25,
    0.05,
)  # shares of batches with guidance, as encoded; noise on these
COLUMNS = "iteration minutes psnr held_out_psnr held_out_psnr_as_encoded".split()


class Restored:
    """Batches of latents [B,12,12,12] as the model leaves them, and of the pixels [B,3,192,192] of the same places."""

    def __init__(self, work, seed, kind="full"):
        self.autoencoder, self.model = load_trained(work), load_denoiser(work)[0]
        self.model.use_plain_attention().requires_grad_(False).to(memory_format=torch.channels_last)
        self.tokenizer = bpe.Tokenizer(os.path.join(work, "tokenizer"))
        self.rng, self.kind = np.random.default_rng(seed), kind
        self.generator = torch.Generator().manual_seed(int(self.rng.integers(1 << 31)))
        self.painter = Painter(int(self.rng.integers(1 << 31)), variants=4)
        self.diffusion = Diffusion()

    def _scene(self, size):
        """(uint8 image, token ids, first row and column of the crop in cells)."""
        curriculum = LOOSE if self.rng.random() < 0.3 else EXACT
        scene = draw_scene(self.kind, self.rng, curriculum)
        _, image, boxes = self.painter.paint(scene, self.rng, curriculum)
        box = np.array(boxes[int(self.rng.integers(len(boxes)))]) * size // SIZE
        image = half_size(image) if size != SIZE else image
        centre = (box[:2] + box[2:]) // 2 + self.rng.integers(-size // 5, size // 5 + 1, 2)
        x, y = np.clip(centre // PATCH - CROP // 2, 0, size // PATCH - CROP)
        return image, self.tokenizer(grammar.caption(scene, self.rng), bpe.LENGTH), (int(y), int(x))

    def _predict(self, x, level, context, guided):
        """v, with guidance or without."""
        steps = torch.full((len(x),), level)
        if not guided:
            return self.model.unet(x, steps, encoder_hidden_states=context[1:]).sample.float()
        both = torch.cat([context[:1].expand(len(x), -1, -1), context[1:]])
        pair = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)
        v = self.model.unet(pair, steps.repeat(2), encoder_hidden_states=both).sample.float()
        plain, named = v.chunk(2)
        return plain + SCALE * (named - plain)

    @torch.no_grad()
    def _restore(self, latents, ids):
        level = int(self.rng.integers(*LEVELS))
        guided = self.rng.random() < GUIDED
        x, then = latents, None
        noise = torch.randn(latents.shape, generator=self.generator)
        with torch.autocast("cpu", torch.bfloat16):
            empty = torch.tensor([self.tokenizer("", bpe.LENGTH)])
            context = self.model.text(input_ids=torch.cat([empty, ids])).last_hidden_state
            for now in np.linspace(level, 0, 1 + math.ceil(level / STRETCH)).astype(int)[:-1]:
                alpha, sigma = (float(a) for a in self.diffusion.at(torch.tensor([int(now)])))
                x = (alpha * (latents if then is None else then) + sigma * noise).contiguous(
                    memory_format=torch.channels_last
                )
                v = self._predict(x, int(now), context, guided)
                then, noise = alpha * x - sigma * v, sigma * x + alpha * v
        return then

    def batch(self, count, plain=None):
        """plain: as encoded; None: at random."""
        size = SIZE // 2 if self.rng.random() < HALF_SHARE else SIZE
        plain = self.rng.random() < PLAIN if plain is None else plain
        images, ids, places = zip(*(self._scene(size) for _ in range(count)))
        latents = torch.from_numpy(encode(self.autoencoder, np.stack(images))).float()
        if plain:
            latents = latents + NOISE * torch.randn(latents.shape, generator=self.generator)
        else:
            latents = self._restore(latents, torch.tensor(ids))
        pixels = [
            image[y * PATCH : (y + CROP) * PATCH, x * PATCH : (x + CROP) * PATCH]
            for image, (y, x) in zip(images, places)
        ]
        pixels = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = torch.stack(
            [latent[:, y : y + CROP, x : x + CROP] for latent, (y, x) in zip(latents, places)]
        )
        return (t.contiguous(memory_format=torch.channels_last) for t in (latents, pixels))


class Run:
    """One process's state."""

    def __init__(self, rank, args):
        self.args, self.path = args, os.path.join(args.work, REFINED)
        self.decoder = load_trained(args.work).decoder.train().requires_grad_(True)
        self.average = copy.deepcopy(self.decoder).requires_grad_(False)
        self.parameters = list(self.decoder.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, RATE, (0.9, 0.95), weight_decay=0.0, fused=True)
        self.count, self.spent = 0, 0.0
        state = load_checkpoint(self.path)
        if state:
            self.decoder.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.count, self.spent = state["count"], state["spent"]
        self.source = Restored(args.work, [args.seed, rank, self.count])
        held = Restored(args.work, [args.seed, 77], "held") if rank == 0 else None
        self.held = (
            [[list(held.batch(8, plain)) for _ in range(4)] for plain in (False, True)] if held else None
        )

    def save(self):
        parts = {"model": self.decoder, "average": self.average, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        save_checkpoint(self.path, state | {"count": self.count, "spent": self.spent})

    def step(self):
        progress = self.count / self.args.iterations
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * cosine * min(1.0, (self.count + 1) / WARMUP)
        latents, pixels = self.source.batch(self.args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.decoder(latents).float()
        loss = decoder_loss(output, pixels)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.count += 1
        decay = min(EMA, (1 + self.count) / (10 + self.count))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)
        return float((output.detach() - pixels).square().mean())

    @torch.no_grad()
    def held_psnr(self):
        """Of restored crops of held-out scenes, and of the same as encoded."""
        out = []
        for batches in self.held:
            with torch.autocast("cpu", torch.bfloat16):
                pairs = [(self.average(latents).float().clamp(-1, 1), pixels) for latents, pixels in batches]
            out.append(psnr(float(np.mean([float((a - b).square().mean()) for a, b in pairs]))))
        return out


def report(run, errors):
    restored, encoded = run.held_psnr()
    row = [
        run.count,
        f"{run.spent / 60:.1f}",
        f"{psnr(np.mean(errors)):.2f}",
        f"{restored:.2f}",
        f"{encoded:.2f}",
    ]
    append_row(os.path.join(run.args.work, "log-refine.csv"), COLUMNS, row)
    say("refine", *row)


def train(rank, args):
    run = Run(rank, args)
    if rank == 0:
        forget_after(os.path.join(args.work, "log-refine.csv"), run.count, 0)
        say("refine from {}: {:.2f} dB restored, {:.2f} as encoded".format(run.count, *run.held_psnr()))
    go_on(run, rank, args.iterations, report)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder of autoencoder.py and train.py")
    parser.add_argument("--iterations", type=int, default=2500)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=6, help="crops per process and step")
    parser.add_argument("--seed", type=int, default=22)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    setup_threads(1)
    launch(train, args)


if __name__ == "__main__":
    main()
