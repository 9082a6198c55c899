"""Trains the text encoder and the UNet together on the latents that render.py made.

    python train/train.py --work DIR --cycles 6000 10000

Several processes average their gradients. A cycle is a number of steps over which the learning rate
falls along a cosine to nearly nothing; the model is good at the end of each, and better at the end
of the next. The first cycle goes from easy scenes to hard ones. Checkpoints are written every few
minutes; a stopped run goes on where it was.
"""

import argparse
import copy
import math
import os
import shutil
import time
from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch

import grammar
import tokenizer as bpe
from common import append_row, forget_after, load_checkpoint, save_checkpoint, say, setup_threads
from data import Mix, Source
from networks import Denoiser, Diffusion
from parallel import Orphan, average_gradients, launch, share

PEAK_RATES, FLOOR = (1.4e-3, 0.5e-3), 0.01  # of the first cycle and of the later ones
TEXT_RATE = 0.5  # of the UNet's rate
WARMUP = 200  # steps
EMPTY_CAPTIONS = 0.10  # for classifier-free guidance
EMA = 0.999
HALF_FACTOR = 3  # a step of 256x256 scenes has three times as many
CHECKPOINT_SECONDS, HELD_STEPS, HELD_TOKENS = 240, 500, 32
COLUMNS = "minutes step samples learning_rate loss held_out_loss samples_per_second".split()


@dataclass(frozen=True)
class Phase:
    """What a part of the first cycle shows. Names of objects come first, alone: among pairs, places and sizes their
    share of the gradient is so small that the UNet goes on drawing the mean of all objects."""

    until: float  # of the cycle
    mix: Mix  # shares of centred, placed, sized, pairs, sized pairs
    tokens: int  # padding drowns the words, so few as long as possible
    half: float  # share of steps with 256x256 scenes, which cost a quarter
    emphasis: float = 2.0  # of the objects in the loss
    words: Callable = grammar.caption


HARD = (0.20, 0.31, 0.14, 0.27, 0.08)
PHASES = (
    Phase(0.12, Mix((1.0, 0.0, 0.0, 0.0, 0.0)), 16, 0.70, 4.0, grammar.short_caption),
    Phase(0.25, Mix((0.50, 0.30, 0.08, 0.10, 0.02)), 32, 0.50, 3.0),
    Phase(0.65, Mix(HARD), 32, 0.40),
    Phase(0.90, Mix(HARD, loose=True), 32, 0.25),
    Phase(9.00, Mix(HARD, loose=True), bpe.LENGTH, 0.16),
)
# Later cycles: what goes wrong after the first is mostly large objects, so more sizes.
LATER_MIX = Mix((0.15, 0.22, 0.35, 0.20, 0.08), loose=True)
LATER_PHASES = (Phase(0.60, LATER_MIX, 32, 0.25), Phase(9.00, LATER_MIX, bpe.LENGTH, 0.16))


class Schedule:
    """What a step is like: its place in its cycle, learning rate, phase, size of scenes."""

    def __init__(self, cycles):
        self.cycles, self.total = cycles, sum(cycles)

    def place(self, step):
        """(number of the cycle, progress within it)."""
        for number, length in enumerate(self.cycles):
            if step < length:
                return number, step / length
            step -= length
        return len(self.cycles) - 1, 1.0

    def ends_at(self, step):
        """True where `step` is the end of a cycle."""
        return step in np.cumsum(self.cycles)

    def rate(self, step):
        number, progress = self.place(step)
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        warm = min(1.0, (progress * self.cycles[number] + 1) / WARMUP)
        return PEAK_RATES[min(number, len(PEAK_RATES) - 1)] * cosine * warm

    def phase(self, step):
        number, progress = self.place(step)
        return next(phase for phase in (LATER_PHASES if number > 0 else PHASES) if progress < phase.until)

    def size(self, step):
        """ "half" for the phase's share of the steps, evenly spread."""
        share = self.phase(step).half
        return "half" if int((step + 1) * share) > int(step * share) else "full"


def follow(average, model, step):
    """The running mean of the weights follows faster while there are few of them."""
    decay = min(EMA, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


class Run:
    """One training process's state."""

    def __init__(self, rank, args):
        self.rank, self.args, self.schedule = rank, args, Schedule(args.cycles)
        self.checkpoint = os.path.join(args.work, "denoiser.pt")
        self.tokenizer = bpe.Tokenizer(os.path.join(args.work, "tokenizer"))
        torch.manual_seed(args.seed)
        self.model = Denoiser(self.tokenizer.end + 1).use_plain_attention()
        self.model = self.model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        groups = [
            {"params": list(self.model.unet.parameters()), "factor": 1.0},
            {"params": list(self.model.text.parameters()), "factor": TEXT_RATE},
        ]
        self.parameters = groups[0]["params"] + groups[1]["params"]
        self.optimizer = torch.optim.AdamW(groups, 1e-3, (0.9, 0.99), weight_decay=0.01, fused=True)
        self.step_count, self.samples, self.seconds = 0, 0, 0.0
        self._resume()
        self.source = Source(args.work, self.tokenizer, [args.seed, rank, self.step_count], EMPTY_CAPTIONS)
        self.diffusion = Diffusion()
        self.generator = torch.Generator().manual_seed(args.seed * 1000003 + rank * 7919 + self.step_count)

    def _resume(self):
        state = load_checkpoint(self.checkpoint)
        if state:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step_count, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]

    def save(self):
        save_checkpoint(
            self.checkpoint,
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step_count,
                "samples": self.samples,
                "seconds": self.seconds,
                "vocabulary": self.tokenizer.end + 1,
            },
        )
        if self.schedule.ends_at(self.step_count):
            shutil.copy(self.checkpoint, f"{self.checkpoint}.{self.step_count}")

    def _batch(self):
        phase, size = self.schedule.phase(self.step_count), self.schedule.size(self.step_count)
        count = self.args.batch * (HALF_FACTOR if size == "half" else 1)
        self.samples += count * self.args.workers
        return self.source.batch(size, count, phase.mix, phase.tokens, phase.emphasis, phase.words)

    def step(self):
        """One optimizer step; returns this process's loss."""
        latents, ids, weights = self._batch()
        noisy, steps, target = self.diffusion.draw(latents, self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.schedule.rate(self.step_count)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.model(noisy.contiguous(memory_format=torch.channels_last), steps, ids)
        loss = ((output.float() - target).square() * weights).mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.step_count += 1
        if self.rank == 0:
            follow(self.average, self.model, self.step_count)
        return float(loss.detach())

    @torch.no_grad()
    def held_out_loss(self):
        """Loss of the averaged weights on fixed held-out scenes with fixed captions and noise."""
        source = Source(self.args.work, self.tokenizer, [self.args.seed, 77], 0.0, ("held",))
        everything = Mix((0.2,) * 5, loose=True)
        latents, ids, _ = source.batch("held", 64, everything, HELD_TOKENS)
        noisy, steps, target = self.diffusion.draw(latents, torch.Generator().manual_seed(5))
        with torch.autocast("cpu", torch.bfloat16):
            output = self.average(noisy, steps, ids)
        return float((output.float() - target).square().mean())


def report(run, losses, held, rate):
    row = [
        f"{run.seconds / 60:.2f}",
        run.step_count,
        run.samples,
        f"{run.schedule.rate(run.step_count):.3e}",
        f"{np.mean(losses):.5f}",
        f"{held:.5f}" if held else "",
        f"{rate:.1f}",
    ]
    append_row(os.path.join(run.args.work, "log.csv"), COLUMNS, row)
    say("train", *row)


def worker(rank, args):
    run, orphan = Run(rank, args), Orphan()
    if rank == 0:
        forget_after(os.path.join(args.work, "log.csv"), run.step_count)
        sizes = {size: len(store) for size, store in run.source.stores.items()}
        count = sum(p.numel() for p in run.parameters)
        say(f"start at step {run.step_count} of {run.schedule.total}, {count} parameters, scenes {sizes}")
    mark = saved = shown = time.time()
    shown_samples, losses = run.samples, []
    while run.step_count < run.schedule.total:
        orphan.check()
        losses.append(run.step())
        run.seconds, mark = run.seconds + time.time() - mark, time.time()
        if rank == 0 and run.step_count % 50 == 0:
            held = run.held_out_loss() if run.step_count % HELD_STEPS == 0 else None
            report(run, losses, held, (run.samples - shown_samples) / (time.time() - shown))
            shown, shown_samples, losses = time.time(), run.samples, []
        due = time.time() - saved > CHECKPOINT_SECONDS or run.schedule.ends_at(run.step_count)
        if share([float(due)], args.workers)[0]:
            if rank == 0:
                run.save()
            saved = time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder of render.py; checkpoints and log go here")
    parser.add_argument("--cycles", type=int, nargs="+", default=[6000], help="steps of every cycle")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=16, help="samples per process and step")
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    setup_threads(1)
    if not os.path.exists(os.path.join(args.work, "tokenizer", "vocab.json")):
        bpe.write(os.path.join(args.work, "tokenizer"))
    launch(worker, args)


if __name__ == "__main__":
    main()
