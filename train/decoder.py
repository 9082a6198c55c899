"""Trains the picture decoder (and a small encoder) of the fixed latent space.

Both halves are diffusers' AutoencoderTiny. The decoder learns latents -> pixels on crops of scenes,
with a little noise on the latents so that it forgives the diffusion model; the encoder is distilled
onto the linear map, so that pictures can be put in as well (image to image).

    python train/decoder.py --work DIR --iterations 7000   resumes by itself
    python train/decoder.py --work DIR --sheet out.png     looks at the result
"""

import argparse
import math
import os
import time

import numpy as np
import torch
from diffusers import AutoencoderTiny

from common import load_checkpoint, save_checkpoint, say, setup_threads
from latents import CELLS, CHANNELS, PATCH, WIDE, LatentMap
from scenes import Painter, training_scene

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "encoder_block_out_channels": (32,) * 5,
    "decoder_block_out_channels": (32,) * 5,
    "num_encoder_blocks": (0, 0, 0, 0, 1),
    "num_decoder_blocks": (4, 4, 2, 1, 0),
    "latent_channels": CHANNELS,
    "act_fn": "relu",
    "upsampling_scaling_factor": 2,
    "scaling_factor": 1.0,
}
CROP = 10  # latent cells on a side
BATCH = 8
LEARNING_RATE = 2e-3


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
    return model


def scale_last_layer(model, latent, pixels):
    """Data-dependent scale: the first output has the pixels' mean and a small deviation."""
    last = [m for m in model.decoder.layers if isinstance(m, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        out = model.decoder(latent)
        last.weight *= 0.5 * pixels.std() / out.std()
        last.bias += (pixels.mean((0, 2, 3)) + 1) / 2 - 0.5


class Crops:
    """Batches of (latents [B,8,n,n], pixels [B,3,16n,16n]) around the objects of scenes."""

    def __init__(self, latent_map, seed):
        self.map, self.rng = latent_map, np.random.default_rng([seed, 5])
        self.painter = Painter(seed, variants=8)

    def _one(self, cells):
        scene = training_scene(self.rng, WIDE)
        _, image, boxes = self.painter.paint(scene, self.rng, WIDE)
        left, top, right, bottom = boxes[int(self.rng.integers(len(boxes)))]
        spread = self.rng.integers(-96, 97, 2)
        x = ((left + right) // 2 + int(spread[0])) // PATCH - cells // 2
        y = ((top + bottom) // 2 + int(spread[1])) // PATCH - cells // 2
        x, y = (min(max(v, 0), CELLS - cells) * PATCH for v in (x, y))
        crop = image[y : y + cells * PATCH, x : x + cells * PATCH]
        return self.map.encode(crop), np.moveaxis(crop, -1, 0)

    def batch(self, count, cells=CROP):
        pairs = [self._one(cells) for _ in range(count)]
        latent = torch.from_numpy(np.stack([p[0] for p in pairs]))
        pixels = torch.from_numpy(np.stack([p[1] for p in pairs])).float() / 127.5 - 1
        return latent, pixels


def decoder_loss(output, pixels):
    """L1 + 2 MSE + 0.5 L1 of the horizontal and vertical differences."""
    difference = output - pixels
    edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + 2 * difference.square().mean() + 0.5 * edges


def decoder_step(model, latent, pixels):
    noise = torch.rand(len(latent), 1, 1, 1) * 0.15
    with torch.autocast("cpu", torch.bfloat16):
        output = model.decoder(latent + noise * torch.randn_like(latent))
    output = output.float()
    return decoder_loss(output, pixels), (output.detach() - pixels).square().mean()


def encoder_step(model, latent, pixels):
    error = (model.encoder(pixels) - latent).square().mean()
    return error, error.detach()


def train(model, part, step, crops, args, iterations):
    """Cosine learning rate over `iterations`; resumes from the checkpoint."""
    path = os.path.join(args.work, f"{part}.pt")
    parameters = list(getattr(model, part).parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0)
    spent, count = 0.0, 0
    state = load_checkpoint(path)
    if state:
        getattr(model, part).load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, count = state["spent"], state["count"]
    elif part == "decoder":
        scale_last_layer(model, *crops.batch(BATCH))
    mark, saved, errors = time.time(), time.time(), []
    while count < iterations:
        progress = count / iterations
        warm = min(1.0, (count + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        loss, error = step(model, *crops.batch(BATCH))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        errors.append(float(error))
        count += 1
        spent, mark = spent + time.time() - mark, time.time()
        if count % 50 == 0:
            psnr = 10 * np.log10(4 / np.mean(errors[-50:]))
            say(
                f"{part} {count} iterations {spent / 60:.1f} min error {np.mean(errors[-50:]):.5f} psnr {psnr:.2f} dB"
            )
        if time.time() - saved > 120 or count == iterations:
            saved = time.time()
            save_checkpoint(
                path,
                {
                    "model": getattr(model, part).state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "spent": spent,
                    "count": count,
                },
            )


def load_trained(work):
    """The autoencoder with the newest checkpoints; returns (model, has a trained encoder)."""
    model = build()
    decoder = load_checkpoint(os.path.join(work, "decoder.pt"))
    encoder = load_checkpoint(os.path.join(work, "encoder.pt"))
    if decoder:
        model.decoder.load_state_dict(decoder["model"])
    if encoder:
        model.encoder.load_state_dict(encoder["model"])
    return model.eval(), encoder is not None


def sheet(work, path):
    """Scene, blocky linear picture and decoded picture in three columns; prints the PSNR."""
    from PIL import Image

    latent_map = LatentMap.load(os.path.join(work, "latents.npz"))
    model, _ = load_trained(work)
    rng, painter = np.random.default_rng(99), Painter(99, variants=2)
    rows, errors = [], []
    for _ in range(4):
        image = painter.paint(training_scene(rng, WIDE), rng, WIDE)[1]
        latent = latent_map.encode(image)
        with torch.no_grad():
            out = model.decode(torch.from_numpy(latent)[None]).sample[0]
        out = ((out.clamp(-1, 1) + 1) * 127.5 + 0.5).byte().permute(1, 2, 0).numpy()
        errors.append(np.mean((out.astype(np.float32) - image) ** 2))
        rows.append(np.concatenate([image, latent_map.decode(latent), out], 1))
    Image.fromarray(np.concatenate(rows, 0)).resize((1152, 1536)).save(path)
    print(f"psnr {10 * np.log10(255**2 / np.mean(errors)):.2f} dB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder for checkpoints")
    parser.add_argument("--iterations", type=int, default=7000, help="of the decoder")
    parser.add_argument("--encoder-iterations", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--sheet", help="write a comparison PNG and stop")
    args = parser.parse_args()
    setup_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)
    if args.sheet:
        return sheet(args.work, args.sheet)
    path = os.path.join(args.work, "latents.npz")
    if not os.path.exists(path):
        LatentMap.fit().save(path)
        say("latent map fitted")
    model = build()
    crops = Crops(LatentMap.load(path), args.seed)
    train(model, "decoder", decoder_step, crops, args, args.iterations)
    train(model, "encoder", encoder_step, crops, args, args.encoder_iterations)


if __name__ == "__main__":
    main()
