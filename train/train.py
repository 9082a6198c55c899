"""Trains the text encoder and the UNet together on the latents that render.py made.

    python train/train.py --work DIR --cycles 6000 10000

Several processes average their gradients. A cycle is a number of steps over which the learning rate
falls along a cosine to nearly nothing; the model is good at the end of each, and better at the end
of the next. The first cycle goes from easy scenes to hard ones. Checkpoints are written every few
minutes; a stopped run goes on where it was.
"""

import argparse
import copy
import csv
import math
import os
import shutil
import time

import numpy as np
import torch

import tokenizer as bpe
from common import load_checkpoint, save_checkpoint, say, setup_threads
from data import Mix, Source
from networks import Denoiser, Diffusion
from parallel import Orphan, average_gradients, launch, share

PEAK_RATES, FLOOR = (1.4e-3, 0.8e-3), 0.01  # of the first cycle and of the later ones
TEXT_RATE = 0.3  # of the UNet's rate
WARMUP = 200  # steps
SHORT_TEXT = 32  # tokens while learning; the last tenth of a cycle uses all 77
EMPTY_CAPTIONS = 0.10  # for classifier-free guidance
EMA = 0.999
HALF_EVERY, HALF_FACTOR = 6, 3  # every sixth step is one of 256x256 scenes, three times as many
CHECKPOINT_SECONDS, HELD_STEPS = 240, 500
COLUMNS = "minutes step samples learning_rate loss held_out_loss samples_per_second".split()

#           until: shares of centred, placed, sized, pairs, sized pairs
CURRICULUM = (
    (0.12, Mix((0.60, 0.33, 0.02, 0.05, 0.00))),
    (0.30, Mix((0.33, 0.37, 0.08, 0.20, 0.02))),
    (0.65, Mix((0.20, 0.30, 0.14, 0.28, 0.08))),
    (9.00, Mix((0.20, 0.32, 0.14, 0.26, 0.08), loose=True)),
)


class Schedule:
    """What a step is like: its place in its cycle, learning rate, mix of scenes, text length."""

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

    def mix(self, step):
        number, progress = self.place(step)
        return next(mix for until, mix in CURRICULUM if number + progress < until)

    def text_length(self, step):
        return SHORT_TEXT if self.place(step)[1] < 0.9 else bpe.LENGTH


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
        """Full-size scenes, and every few steps more of half the size."""
        half = self.step_count % HALF_EVERY == HALF_EVERY - 1
        size, count = ("half", self.args.batch * HALF_FACTOR) if half else ("full", self.args.batch)
        mix, length = self.schedule.mix(self.step_count), self.schedule.text_length(self.step_count)
        self.samples += count * self.args.workers
        return self.source.batch(size, count, mix, length)

    def step(self):
        """One optimizer step; returns this process's loss."""
        latents, ids = self._batch()
        noisy, steps, target = self.diffusion.draw(latents, self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * self.schedule.rate(self.step_count)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.model(noisy.contiguous(memory_format=torch.channels_last), steps, ids)
        loss = (output.float() - target).square().mean()
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
        latents, ids = source.batch("held", 64, everything, SHORT_TEXT)
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
    path = os.path.join(run.args.work, "log.csv")
    new = not os.path.exists(path)
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(row)
    say("train", *row)


def forget_after(path, step):
    """Drops the log's rows from after the checkpoint that the run goes on from."""
    if not os.path.exists(path):
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows[:1] + [row for row in rows[1:] if int(row[1]) <= step])


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
