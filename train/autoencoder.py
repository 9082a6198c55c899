"""Trains the autoencoder: diffusers' AutoencoderTiny, 12 channels at 1/16 of the size.

At first the encoder learns a fixed linear map (latents.py), whose channels are ordered and scaled for
diffusion, and the decoder learns to invert it. Then both learn together, with the latents held near
the linear ones; within that leash the encoder keeps what the decoder needs. The decoder sees a little
noise on its latents, so that it forgives the diffusion model; refine.py teaches it more of that later.

    python train/autoencoder.py --work DIR --iterations 4000   resumes by itself
    python train/autoencoder.py --work DIR --sheet out.png     looks at the result
"""

import argparse
import math
import os
import time

import numpy as np
import torch
from diffusers import AutoencoderTiny

from common import append_row, load_checkpoint, save_checkpoint, say, setup_threads
from latents import CHANNELS, PATCH, WIDE, LatentMap
from parallel import Orphan, average_gradients, launch
from scenes import SIZE, Painter, half_size, held_out, random_scene, training_scene

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "encoder_block_out_channels": (32,) * 5,
    "decoder_block_out_channels": (48,) * 5,
    "num_encoder_blocks": (0, 0, 1, 1, 1),
    "num_decoder_blocks": (3, 4, 3, 0, 0),
    "latent_channels": CHANNELS,
    "act_fn": "relu",
    "upsampling_scaling_factor": 2,
    "scaling_factor": 1.0,
}
CROP = 12  # latent cells on a side
HALF_SHARE = 0.2  # of the crops come from scenes at 256x256
LEARNING_RATE, FLOOR, WARMUP = 2e-3, 0.01, 50
EMA = 0.999
NOISE = 0.10  # largest deviation of the noise on the decoder's latents
APART = 0.2  # share of the training in which the decoder sees the linear latents
LEASH_START, LEASH_END, LEASH_TIME = 4.0, 0.25, 0.4
CHECKPOINT_SECONDS = 120
REFINED = "refine.pt"  # where refine.py keeps the decoder that goes into the models
COLUMNS = "iteration minutes psnr_with_noise held_out_psnr distance".split()


def build(seed=3):
    """AutoencoderTiny with an initialisation that keeps the signal's size through the depth."""
    torch.manual_seed(seed)
    model = AutoencoderTiny(**CONFIG)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
            if name.endswith("conv.4"):  # last convolution of a residual block
                module.weight.data *= 0.2
    return model.to(memory_format=torch.channels_last)


def scale_last_layer(half, inputs, wanted):
    """Data-dependent scale: the first output has half the wanted deviation."""
    last = [m for m in half.layers if isinstance(m, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight *= 0.5 * wanted.std() / half(inputs).std()


class Crops:
    """Batches of pixels [B,3,16n,16n] in -1..1 around the objects of scenes, and their linear latents."""

    def __init__(self, latent_map, seed, held=False):
        self.map, self.rng, self.held = latent_map, np.random.default_rng(seed), held
        self.painter = Painter(int(self.rng.integers(1 << 31)), variants=4)

    def _scene(self):
        while self.held:
            scene = random_scene(self.rng, WIDE)
            if held_out(scene):
                return scene
        return training_scene(self.rng, WIDE)

    def _one(self, cells):
        _, image, boxes = self.painter.paint(self._scene(), self.rng, WIDE)
        box = np.array(boxes[int(self.rng.integers(len(boxes)))])
        size = SIZE
        if self.rng.random() < HALF_SHARE:
            image, box, size = half_size(image), box // 2, SIZE // 2
        centre = (box[:2] + box[2:]) // 2 + self.rng.integers(-size // 5, size // 5 + 1, 2)
        x, y = np.clip(centre - cells * PATCH // 2, 0, size - cells * PATCH)
        crop = image[y : y + cells * PATCH, x : x + cells * PATCH]
        return self.map.encode(crop), np.moveaxis(crop, -1, 0)

    def batch(self, count, cells=CROP):
        pairs = [self._one(cells) for _ in range(count)]
        linear = torch.from_numpy(np.stack([p[0] for p in pairs]))
        pixels = torch.from_numpy(np.stack([p[1] for p in pairs])).float() / 127.5 - 1
        return pixels.contiguous(memory_format=torch.channels_last), linear


def decoder_loss(output, pixels):
    """L1 + 2 MSE + 0.5 L1 of the horizontal and vertical differences."""
    difference = output - pixels
    edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + 2 * difference.square().mean() + 0.5 * edges


def leash(progress):
    """Weight of the distance to the linear latents: falls geometrically, then stays."""
    return LEASH_START * (LEASH_END / LEASH_START) ** min(1.0, progress / LEASH_TIME)


def psnr(error):
    return 10 * math.log10(4 / max(error, 1e-9))


class Run:
    """One training process's state."""

    def __init__(self, rank, args):
        self.rank, self.args, self.path = rank, args, os.path.join(args.work, "autoencoder.pt")
        self.map = LatentMap.load(os.path.join(args.work, "latents.npz"))
        self.model, self.average = build(), build().requires_grad_(False)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0, fused=True
        )
        self.count, self.spent = 0, 0.0
        state = load_checkpoint(self.path)
        if state:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.count, self.spent = state["count"], state["spent"]
        self.crops = Crops(self.map, [args.seed, rank, self.count])
        self.held = Crops(self.map, [args.seed, 77], held=True).batch(24) if rank == 0 else None
        torch.manual_seed(args.seed * 1000 + rank * 7 + self.count)
        if not state:
            pixels, linear = Crops(self.map, [args.seed, 78]).batch(8)
            scale_last_layer(self.model.encoder, pixels, linear)
            scale_last_layer(self.model.decoder, linear, pixels)

    def save(self):
        save_checkpoint(
            self.path,
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "count": self.count,
                "spent": self.spent,
            },
        )

    def _set_rate(self):
        """Sets the learning rate; returns the progress of the training."""
        progress = self.count / self.args.iterations
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * cosine * min(1.0, (self.count + 1) / WARMUP)
        return progress

    def step(self):
        progress = self._set_rate()
        pixels, linear = self.crops.batch(self.args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            latent = self.model.encoder(pixels).float()
            noise = torch.rand(len(latent), 1, 1, 1) * NOISE * torch.randn_like(latent)
            output = self.model.decoder((linear if progress < APART else latent) + noise).float()
        distance = (latent - linear).square().mean()
        loss = decoder_loss(output, pixels) + leash(progress) * distance
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.count += 1
        decay = min(EMA, (1 + self.count) / (10 + self.count))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)
        return float((output.detach() - pixels).square().mean()), float(distance.detach())

    @torch.no_grad()
    def held_psnr(self):
        """Encoded and decoded by the averaged weights: crops of held-out scenes."""
        with torch.autocast("cpu", torch.bfloat16):
            output = self.average.decoder(self.average.encoder(self.held[0])).float()
        return psnr(float((output.clamp(-1, 1) - self.held[0]).square().mean()))


def report(run, errors):
    error, distance = np.mean(errors, 0)
    row = [
        run.count,
        f"{run.spent / 60:.1f}",
        f"{psnr(error):.2f}",
        f"{run.held_psnr():.2f}",
        f"{distance:.4f}",
    ]
    append_row(os.path.join(run.args.work, "log-autoencoder.csv"), COLUMNS, row)
    say("autoencoder", *row)


def go_on(run, rank, iterations, tell):
    """Steps, reports and checkpoints up to the end; `tell` is called with the run and what its steps returned."""
    orphan, errors = Orphan(), []
    mark = saved = time.time()
    while run.count < iterations:
        orphan.check()
        errors.append(run.step())
        run.spent, mark = run.spent + time.time() - mark, time.time()
        done = run.count == iterations
        if rank == 0 and (run.count % 100 == 0 or done):
            tell(run, errors)
            errors = []
        if rank == 0 and (time.time() - saved > CHECKPOINT_SECONDS or done):
            run.save()
            saved = time.time()


def train(rank, args):
    go_on(Run(rank, args), rank, args.iterations, report)


def load_trained(work):
    """The autoencoder with the averaged weights of the newest checkpoints."""
    model = build()
    state, refined = (load_checkpoint(os.path.join(work, name)) for name in ("autoencoder.pt", REFINED))
    if state:
        model.load_state_dict(state["average"])
    if refined:
        model.decoder.load_state_dict(refined["average"])
    return model.eval()


@torch.no_grad()
def round_trip(model, image):
    """uint8 [H,W,3] encoded and decoded."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    out = model.decode(model.encode(pixels).latents).sample[0]
    return ((out.clamp(-1, 1) + 1) * 127.5 + 0.5).byte().permute(1, 2, 0).numpy()


def sheet(work, path, scenes=12):
    """Fresh scenes above what is left of them after encoding and decoding; prints the PSNR."""
    from PIL import Image

    model, rng, painter = load_trained(work), np.random.default_rng(99), Painter(99, variants=2)
    rows, ratios = [], []
    for i in range(scenes):
        image = painter.paint(training_scene(rng, WIDE), rng, WIDE)[1]
        image = half_size(image) if i % 4 == 3 else image
        out = round_trip(model, image)
        ratios.append(10 * np.log10(255**2 / np.mean((out.astype(np.float32) - image) ** 2)))
        if i < 6:
            tiles = [np.asarray(Image.fromarray(tile).resize((384, 384))) for tile in (image, out)]
            rows.append(np.concatenate(tiles, 0))
    sheets = [np.concatenate(rows[k : k + 3], 1) for k in (0, 3)]
    Image.fromarray(np.concatenate(sheets, 0)).save(path)
    print("psnr of scenes:", " ".join(f"{ratio:.1f}" for ratio in ratios), f"mean {np.mean(ratios):.2f} dB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder for checkpoints")
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=6, help="crops per process and step")
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--sheet", help="write a comparison PNG and stop")
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    os.makedirs(args.work, exist_ok=True)
    setup_threads(1)
    if args.sheet:
        return sheet(args.work, args.sheet)
    path = os.path.join(args.work, "latents.npz")
    if not os.path.exists(path):
        LatentMap.fit().save(path)
        say("linear latents fitted")
    launch(train, args)


if __name__ == "__main__":
    main()
