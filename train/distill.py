"""Distils the model into one of four steps without guidance.

    python train/distill.py --work DIR --steps 3000

The student has the teacher's architecture, weights to begin with, and text encoder. From each of its
four noise levels the teacher goes on with sixteen-step DDIM and classifier-free guidance to the next
of the four; the student learns to land there in one step without guidance (progressive distillation,
Salimans and Ho, 2022, with the guidance folded in, Meng et al., 2023). It runs with plain DDIM, trailing
steps, CFG scale 1. A stopped run goes on where it was, unless the teacher has learned on; the result is DIR/fast.pt.
"""

import argparse
import copy
import math
import os
import time

import numpy as np
import torch

import tokenizer as bpe
from common import load_checkpoint, save_checkpoint, say, setup_threads
from data import Mix, Source
from export import load_denoiser
from networks import Diffusion
from parallel import Orphan, average_gradients, launch, share

STUDENT_STEPS, PIECES = 4, 4  # the teacher takes PIECES steps for one of the student's
SCALE = 2.5  # the teacher's guidance
PEAK_RATE, FLOOR, WARMUP, EMA = 4e-4, 0.01, 50, 0.998
HALF_EVERY, HALF_FACTOR = 6, 3
MIX = Mix((0.20, 0.30, 0.14, 0.28, 0.08), loose=True)
CHECKPOINT_SECONDS, REPORT, HELD = 240, 25, 200
NAME, DEFAULTS = "tintype-fast", {"cfg_scale": "1", "steps": str(STUDENT_STEPS)}


class Path:
    """The noise levels from 999 to the picture (which counts as step -1)."""

    def __init__(self):
        diffusion = Diffusion()
        self.alpha = torch.cat([diffusion.alpha, torch.ones(1)])  # [-1] is the picture
        self.sigma = torch.cat([diffusion.sigma, torch.zeros(1)])
        self.starts = torch.tensor([999 - 1000 // STUDENT_STEPS * k for k in range(STUDENT_STEPS)])

    def at(self, steps):
        return tuple(a[steps].view(-1, 1, 1, 1) for a in (self.alpha, self.sigma))

    def piece(self, starts, k):
        """The k-th of the teacher's levels after `starts`."""
        return starts - 1000 // STUDENT_STEPS * k // PIECES

    def step(self, x, v, now, then):
        """DDIM from level `now` to level `then`."""
        alpha, sigma = self.at(now)
        picture, noise = alpha * x - sigma * v, sigma * x + alpha * v
        alpha, sigma = self.at(then)
        return alpha * picture + sigma * noise

    def v_between(self, x, end, now, then):
        """The v with which one step from `now` arrives at `end`."""
        (alpha, sigma), (alpha_then, sigma_then) = self.at(now), self.at(then)
        ratio = sigma_then / sigma
        picture = (end - ratio * x) / (alpha_then - ratio * alpha)
        return (alpha * x - picture) / sigma


class Run:
    """One process's state."""

    def __init__(self, rank, args):
        self.rank, self.args, self.checkpoint = rank, args, os.path.join(args.work, "fast.pt")
        self.teacher, self.from_state = load_denoiser(args.work)
        self.teacher.use_plain_attention().requires_grad_(False).to(memory_format=torch.channels_last)
        self.unet = copy.deepcopy(self.teacher.unet).requires_grad_(True)
        self.average = copy.deepcopy(self.teacher.unet)
        self.parameters = list(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, PEAK_RATE, (0.9, 0.99), weight_decay=0.0, fused=True)
        self.step_count, self.samples = 0, 0
        self._resume()
        tokenizer = bpe.Tokenizer(os.path.join(args.work, "tokenizer"))
        self.empty = torch.tensor([tokenizer("", bpe.LENGTH)])
        self.source = Source(args.work, tokenizer, [args.seed, rank, self.step_count], 0.0)
        self.held = Source(args.work, tokenizer, [args.seed, 77], 0.0, ("held",)).batch("held", 32, MIX, bpe.LENGTH)
        self.path = Path()
        self.generator = torch.Generator().manual_seed(args.seed * 1000003 + rank * 7919 + self.step_count)

    def _resume(self):
        state = load_checkpoint(self.checkpoint)
        if state and state["teacher_step"] == self.from_state["step"]:
            self.unet.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            names = {k[5:]: v for k, v in state["average"].items() if k.startswith("unet.")}
            self.average.load_state_dict(names)
            self.step_count, self.samples = state["step"], state["samples"]

    def save(self):
        average = {k: v for k, v in self.teacher.state_dict().items() if not k.startswith("unet.")}
        average |= {f"unet.{k}": v for k, v in self.average.state_dict().items()}
        save_checkpoint(
            self.checkpoint,
            {
                "model": self.unet.state_dict(),
                "average": average,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step_count,
                "samples": self.samples,
                "teacher_step": self.from_state["step"],
                "vocabulary": self.from_state["vocabulary"],
                "name": NAME,
                "defaults": DEFAULTS,
            },
        )

    @torch.no_grad()
    def target(self, latents, ids, generator):
        """(x, level, context, v that the student should give)."""
        count = len(latents)
        now = self.path.starts[torch.randint(STUDENT_STEPS, (count,), generator=generator)]
        noise = torch.randn(latents.shape, generator=generator)
        alpha, sigma = self.path.at(now)
        x = (alpha * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            context = self.teacher.text(input_ids=torch.cat([self.empty, ids])).last_hidden_state
            both = torch.cat([context[:1].expand(count, -1, -1), context[1:]])
            end = x
            for k in range(PIECES):
                level, then = self.path.piece(now, k), self.path.piece(now, k + 1)
                pair = torch.cat([end, end]).contiguous(memory_format=torch.channels_last)
                v = self.teacher.unet(pair, level.repeat(2), encoder_hidden_states=both).sample.float()
                plain, guided = v.chunk(2)
                end = self.path.step(end, plain + SCALE * (guided - plain), level, then)
        return x, now, context[1:], self.path.v_between(x, end, now, self.path.piece(now, PIECES))

    def step(self):
        half = self.step_count % HALF_EVERY == HALF_EVERY - 1
        size, count = ("half", self.args.batch * HALF_FACTOR) if half else ("full", self.args.batch)
        latents, ids = self.source.batch(size, count, MIX, bpe.LENGTH)
        x, level, context, wanted = self.target(latents, ids, self.generator)
        progress = self.step_count / self.args.steps
        rate = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate * min(1.0, (self.step_count + 1) / WARMUP)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.unet(x, level, encoder_hidden_states=context).sample
        loss = (output.float() - wanted).square().mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.step_count += 1
        self.samples += count * self.args.workers
        decay = min(EMA, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def held_out_loss(self):
        x, level, context, wanted = self.target(*self.held, torch.Generator().manual_seed(5))
        with torch.autocast("cpu", torch.bfloat16):
            output = self.average(x, level, encoder_hidden_states=context).sample
        return float((output.float() - wanted).square().mean())


def worker(rank, args):
    run, orphan = Run(rank, args), Orphan()
    saved, losses = time.time(), []
    if rank == 0:
        say(f"distill from step {run.step_count}, held-out loss {run.held_out_loss():.5f}")
    while run.step_count < args.steps:
        orphan.check()
        losses.append(run.step())
        done = run.step_count == args.steps
        if rank == 0 and (run.step_count % REPORT == 0 or done):
            held = f" held out {run.held_out_loss():.5f}" if run.step_count % HELD == 0 or done else ""
            say(f"distill {run.step_count}, {run.samples} samples, loss {np.mean(losses):.5f}{held}")
            losses = []
        if share([float(time.time() - saved > CHECKPOINT_SECONDS or done)], args.workers)[0]:
            if rank == 0:
                run.save()
            saved = time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder of train.py")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=16, help="samples per process and step")
    parser.add_argument("--seed", type=int, default=777)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    setup_threads(1)
    launch(worker, args)


if __name__ == "__main__":
    main()
