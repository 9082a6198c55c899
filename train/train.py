"""Trains the text encoder and the UNet together on scenes painted on the fly.

    python train/train.py --work DIR --minutes 110          or --deadline HH:MM

Several processes average their gradients. The schedule (learning rate, curriculum, text length)
follows `progress`, which moves from 0 to 1 so that it arrives at the deadline whatever speed the
machine gives. Checkpoints are written every five minutes; a stopped run goes on where it was.
"""

import argparse
import copy
import csv
import math
import os
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import grammar
import tokenizer as bpe
from common import deadline_seconds, fail, load_checkpoint, save_checkpoint, say, setup_threads
from latents import LatentMap, LatentPainter
from networks import Denoiser, build_scheduler
from scenes import Curriculum, Painter, held_out, random_scene, training_scene

PEAK_RATE, FLOOR = 1.4e-3, 0.01
TEXT_RATE = 0.3  # of the UNet's rate
WARMUP = 150  # iterations
SHORT_TEXT = 24  # tokens while learning; the last tenth uses all 77
EMPTY_CAPTIONS = 0.10  # for classifier-free guidance
EMA = 0.998
CHECKPOINT_SECONDS = 300


def curriculum(progress):
    """Centred singles first, then places, then pairs; exact placement until late."""
    if progress < 0.12:
        return Curriculum(pairs=0.05, centred=0.6, jitter=3, size_jitter=4)
    if progress < 0.30:
        return Curriculum(pairs=0.25, centred=0.35, jitter=3, size_jitter=8)
    if progress < 0.65:
        return Curriculum(pairs=0.40, centred=0.30, jitter=3, size_jitter=8)
    return Curriculum(pairs=0.38, centred=0.35, jitter=6, size_jitter=12)


def learning_rate(progress, iteration):
    cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return PEAK_RATE * cosine * min(1.0, (iteration + 1) / WARMUP)


def text_length(progress):
    return SHORT_TEXT if progress < 0.9 else bpe.LENGTH


class Source:
    """Batches of (latents, ids), drawn from one seed."""

    def __init__(self, latent_painter, tokenizer, seed, held=False):
        self.painter, self.tokenizer = latent_painter, tokenizer
        self.rng = np.random.default_rng(seed)
        self.held = held

    def _scene(self, stage):
        if not self.held:
            return training_scene(self.rng, stage)
        while True:
            scene = random_scene(self.rng, stage)
            if held_out(scene):
                return scene

    def batch(self, count, progress):
        stage, length = curriculum(progress), text_length(progress)
        latents, ids = [], []
        for _ in range(count):
            scene = self._scene(stage)
            empty = not self.held and self.rng.random() < EMPTY_CAPTIONS
            ids.append(self.tokenizer("" if empty else grammar.caption(scene, self.rng), length))
            latents.append(self.painter.paint(scene, self.rng, stage))
        return torch.from_numpy(np.stack(latents)), torch.tensor(ids)


class Diffusion:
    """The forward process and the v target (Salimans and Ho, 2022)."""

    def __init__(self):
        cumulative = build_scheduler().alphas_cumprod.float()
        self.alpha, self.sigma = cumulative.sqrt(), (1 - cumulative).sqrt()

    def draw(self, latents, generator):
        """More high-noise steps than uniform: t = 1000 u^0.75."""
        uniform = torch.rand(len(latents), generator=generator)
        steps = (1000 * uniform**0.75).long().clamp(max=999)
        noise = torch.randn(latents.shape, generator=generator)
        alpha, sigma = (a[steps].view(-1, 1, 1, 1) for a in (self.alpha, self.sigma))
        return alpha * latents + sigma * noise, steps, alpha * noise - sigma * latents


def average_gradients(parameters, workers):
    flat = torch.cat([p.grad.reshape(-1) for p in parameters])
    if workers > 1:
        dist.all_reduce(flat)
        flat /= workers
    norm = flat.norm()
    flat *= min(1.0, 1.0 / (float(norm) + 1e-6))
    for p, grad in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(grad.view_as(p))
    return float(norm)


class Run:
    """One training process's state."""

    def __init__(self, rank, args):
        self.rank, self.args = rank, args
        self.checkpoint = os.path.join(args.work, "denoiser.pt")
        self.tokenizer = bpe.Tokenizer(os.path.join(args.work, "tokenizer"))
        torch.manual_seed(args.seed)
        self.model = (
            Denoiser(self.tokenizer.end + 1).use_plain_attention().to(memory_format=torch.channels_last)
        )
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        groups = [
            {"params": list(self.model.unet.parameters()), "factor": 1.0},
            {"params": list(self.model.text.parameters()), "factor": TEXT_RATE},
        ]
        self.parameters = groups[0]["params"] + groups[1]["params"]
        self.optimizer = torch.optim.AdamW(groups, PEAK_RATE, (0.9, 0.99), weight_decay=0.01, fused=True)
        self.iteration, self.samples, self.progress, self.seconds = 0, 0, 0.0, 0.0
        self._resume()
        painter = LatentPainter(Painter(args.seed), LatentMap.load(os.path.join(args.work, "latents.npz")))
        self.source = Source(painter, self.tokenizer, [args.seed, rank, self.iteration])
        self.held_painter = painter
        self.diffusion = Diffusion()
        self.generator = torch.Generator().manual_seed(args.seed * 1000003 + rank * 7919 + self.iteration)

    def _resume(self):
        state = load_checkpoint(self.checkpoint)
        if not state:
            return self._start_from(self.args.start_from)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("iteration", "samples", "progress", "seconds"):
            setattr(self, name, state[name])

    def _start_from(self, path):
        """Takes the UNet of another run, all but its cross-attention, which reads another text encoder."""
        if path:
            unet = load_checkpoint(path)["average"]
            unet = {k[5:]: v for k, v in unet.items() if k.startswith("unet.") and ".attn2." not in k}
            for model in (self.model, self.average):
                model.unet.load_state_dict(unet, strict=False)

    def save(self):
        save_checkpoint(
            self.checkpoint,
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "iteration": self.iteration,
                "samples": self.samples,
                "progress": self.progress,
                "seconds": self.seconds,
                "vocabulary": self.tokenizer.end + 1,
            },
        )

    def step(self):
        """One optimizer step; returns this process's loss."""
        latents, ids = self.source.batch(self.args.batch, self.progress)
        noisy, steps, target = self.diffusion.draw(latents, self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(self.progress, self.iteration)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.model(noisy.contiguous(memory_format=torch.channels_last), steps, ids)
        loss = (output.float() - target).square().mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.iteration += 1
        self.samples += self.args.batch * self.args.workers
        if self.rank == 0:
            self._update_average()
        return float(loss.detach())

    def _update_average(self):
        decay = min(EMA, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            theirs, ours = list(self.average.parameters()), list(self.model.parameters())
            torch._foreach_lerp_(theirs, ours, 1 - decay)

    @torch.no_grad()
    def held_out_loss(self):
        """Loss of the averaged weights on fixed held-out scenes with fixed noise."""
        source = Source(self.held_painter, self.tokenizer, [self.args.seed, 77], held=True)
        latents, ids = source.batch(64, 0.5)
        noisy, steps, target = self.diffusion.draw(latents, torch.Generator().manual_seed(5))
        with torch.autocast("cpu", torch.bfloat16):
            output = self.average(noisy, steps, ids)
        return float((output.float() - target).square().mean())


def share(progress, stop, workers):
    """Everyone follows process 0's clock."""
    word = torch.tensor([progress, float(stop)], dtype=torch.float64)
    if workers > 1:
        dist.broadcast(word, 0)
    return float(word[0]), bool(word[1])


def log_row(path, row):
    new = not os.path.exists(path)
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(
                [
                    "minutes",
                    "iteration",
                    "samples",
                    "progress",
                    "learning_rate",
                    "loss",
                    "held_out_loss",
                    "samples_per_second",
                ]
            )
        writer.writerow(row)


def report(run, losses, held, rate):
    row = [
        f"{run.seconds / 60:.2f}",
        run.iteration,
        run.samples,
        f"{run.progress:.4f}",
        f"{learning_rate(run.progress, run.iteration):.3e}",
        f"{np.mean(losses):.5f}",
        f"{held:.5f}" if held else "",
        f"{rate:.1f}",
    ]
    log_row(os.path.join(run.args.work, "log.csv"), row)
    say("train", *row)


def worker(rank, args, end):
    setup_threads(1)
    parent = os.getppid()
    if args.workers > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{args.work}/rendezvous.{args.token}",
            rank=rank,
            world_size=args.workers,
        )
    run = Run(rank, args)
    if rank == 0:
        count = sum(p.numel() for p in run.parameters)
        say(f"start at iteration {run.iteration}, progress {run.progress:.3f}, {count} parameters")
    if run.progress >= 1.0:
        return say("this run is complete") if rank == 0 else None
    mark = saved = shown = time.time()
    shown_samples, losses = run.samples, []
    while True:
        now = time.time()
        if rank == 0:
            remaining = max(end - mark, 1e-3)
            run.progress += (1 - run.progress) * min(1.0, (now - mark) / remaining)
            run.seconds += now - mark
        mark = now
        if args.workers > 1 and os.getppid() != parent:
            fail("the starting process is gone; the last checkpoint stands")
        run.progress, stop = share(run.progress, now >= end, args.workers)
        if stop:
            break
        losses.append(run.step())
        if rank == 0 and run.iteration % 50 == 0:
            due = time.time() - saved > CHECKPOINT_SECONDS
            rate = (run.samples - shown_samples) / (time.time() - shown)
            report(run, losses, run.held_out_loss() if due else None, rate)
            shown, shown_samples, losses = time.time(), run.samples, []
            if due:
                run.save()
                saved = time.time()
    if rank == 0:
        run.save()
        report(run, losses or [float("nan")], run.held_out_loss(), 0.0)
    if args.workers > 1:
        dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder with latents.npz; checkpoints and log go here")
    parser.add_argument("--minutes", type=float, default=110.0)
    parser.add_argument("--deadline", help="HH:MM, instead of --minutes")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=16, help="samples per process and step")
    parser.add_argument("--start-from", help="checkpoint of another run whose UNet to begin with")
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    if not os.path.exists(os.path.join(args.work, "latents.npz")):
        fail(f"{args.work}/latents.npz is missing: run train/decoder.py first")
    if not os.path.exists(os.path.join(args.work, "tokenizer", "vocab.json")):
        bpe.write(os.path.join(args.work, "tokenizer"))
    end = time.time() + (deadline_seconds(args.deadline) if args.deadline else args.minutes * 60)
    args.token = f"{os.getpid()}.{int(time.time())}"
    if args.workers == 1:
        worker(0, args, end)
    else:
        mp.spawn(worker, (args, end), nprocs=args.workers)


if __name__ == "__main__":
    main()
