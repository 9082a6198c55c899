"""What the trainings of students share: a UNet that learns from the trained model's, in several processes, resumable.

distill.py makes the one of four steps, shrink.py the small one. What they teach is a Lesson. The text encoder stays
the teacher's. A stopped run goes on where it was, unless the teacher has learned on since.
"""

import copy
import math
import os
import time
from dataclasses import dataclass

import numpy as np
import torch

import tokenizer as bpe
from common import append_row, forget_after, load_checkpoint, save_checkpoint, say, setup_threads
from data import Mix, Source
from export import load_denoiser
from networks import build_unet
from parallel import Orphan, average_gradients, launch, share

HALF_FACTOR = 3  # a step of 256x256 scenes has three times as many
CHECKPOINT_SECONDS, REPORT, HELD = 240, 25, 200
COLUMNS = "minutes step samples learning_rate loss held_out_loss samples_per_second".split()


@dataclass(frozen=True)
class Stage:
    """What a part of the training shows."""

    until: float  # of the steps
    mix: Mix
    half: float  # share of steps with 256x256 scenes, which cost a quarter
    emphasis: float = 1.0  # of the objects in the loss


class Lesson:
    """What a student learns. target() returns (x, level, context, v that it should give) for some scenes."""

    file, name = "", ""  # of the checkpoint, of the model
    defaults = {}  # cfg_scale and steps, for the model's file
    unet = {}  # what differs from the teacher's UNet; nothing: begins as the teacher
    stages = ()
    peak_rate, floor, warmup, average, uncaptioned = 4e-4, 0.01, 50, 0.998, 0.0

    def begin(self, tokenizer):
        """Once, before target()."""

    def target(self, teacher, latents, ids, generator):
        raise NotImplementedError

    def stage(self, progress):
        return next(stage for stage in self.stages if progress < stage.until)


class Run:
    """One process's state."""

    def __init__(self, rank, args, lesson):
        self.rank, self.args, self.lesson = rank, args, lesson
        self.checkpoint = os.path.join(args.work, lesson.file)
        self.log = os.path.join(args.work, f"log-{lesson.file.removesuffix('.pt')}.csv")
        torch.manual_seed(args.seed)
        self.teacher, self.from_state = load_denoiser(args.work)
        self.teacher.use_plain_attention().requires_grad_(False).to(memory_format=torch.channels_last)
        self.unet = build_unet(lesson.unet) if lesson.unet else copy.deepcopy(self.teacher.unet)
        self.unet.set_attn_processor(next(iter(self.teacher.unet.attn_processors.values())))
        self.unet.requires_grad_(True).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        self.parameters = list(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, 1e-4, (0.9, 0.99), weight_decay=0.0, fused=True)
        self.step_count, self.samples, self.seconds, self.rate = 0, 0, 0.0, 0.0
        self._resume()
        tokenizer = bpe.Tokenizer(os.path.join(args.work, "tokenizer"))
        lesson.begin(tokenizer)
        self.source = Source(args.work, tokenizer, [args.seed, rank, self.step_count], lesson.uncaptioned)
        held = Source(args.work, tokenizer, [args.seed, 77], 0.0, ("held",))
        self.held = held.batch("held", 32, lesson.stages[-1].mix, bpe.LENGTH)[:2]
        self.generator = torch.Generator().manual_seed(args.seed * 1000003 + rank * 7919 + self.step_count)

    def _resume(self):
        state = load_checkpoint(self.checkpoint)
        if state and state["teacher_step"] == self.from_state["step"]:
            self.unet.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            names = {k[5:]: v for k, v in state["average"].items() if k.startswith("unet.")}
            self.average.load_state_dict(names)
            self.step_count, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]

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
                "seconds": self.seconds,
                "teacher_step": self.from_state["step"],
                "vocabulary": self.from_state["vocabulary"],
                "unet": self.lesson.unet,
                "name": self.lesson.name,
                "defaults": self.lesson.defaults,
            },
        )

    def _set_rate(self, progress):
        lesson = self.lesson
        cosine = lesson.floor + (1 - lesson.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        self.rate = lesson.peak_rate * cosine * min(1.0, (self.step_count + 1) / lesson.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate

    def step(self):
        """One optimizer step; returns this process's loss."""
        progress = self.step_count / self.args.steps
        stage = self.lesson.stage(progress)
        half = int((self.step_count + 1) * stage.half) > int(self.step_count * stage.half)
        size, count = ("half", self.args.batch * HALF_FACTOR) if half else ("full", self.args.batch)
        latents, ids, weights = self.source.batch(size, count, stage.mix, bpe.LENGTH, stage.emphasis)
        x, level, context, wanted = self.lesson.target(self.teacher, latents, ids, self.generator)
        self._set_rate(progress)
        with torch.autocast("cpu", torch.bfloat16):
            output = self.unet(x, level, encoder_hidden_states=context).sample
        loss = ((output.float() - wanted).square() * weights).mean()
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        average_gradients(self.parameters, self.args.workers)
        self.optimizer.step()
        self.step_count += 1
        self.samples += count * self.args.workers
        decay = min(self.lesson.average, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def held_out_loss(self):
        x, level, context, wanted = self.lesson.target(self.teacher, *self.held, torch.Generator().manual_seed(5))
        with torch.autocast("cpu", torch.bfloat16):
            output = self.average(x, level, encoder_hidden_states=context).sample
        return float((output.float() - wanted).square().mean())


def report(run, losses, held, rate):
    """`held`: a loss, or None where it was not measured."""
    row = [f"{run.seconds / 60:.2f}", run.step_count, run.samples, f"{run.rate:.3e}", f"{np.mean(losses):.5f}"]
    row += [f"{held:.5f}" if held is not None else "", f"{rate:.1f}"]
    append_row(run.log, COLUMNS, row)
    say(run.lesson.name, *row)


def work(rank, args, lesson):
    """What each process does."""
    run, orphan = Run(rank, args, lesson), Orphan()
    if rank == 0:
        forget_after(run.log, run.step_count)
        count = sum(p.numel() for p in run.parameters)
        say(f"{lesson.name}, {count} parameters, from step {run.step_count}: held-out loss {run.held_out_loss():.5f}")
    mark = saved = shown = time.time()
    shown_samples, losses = run.samples, []
    while run.step_count < args.steps:
        orphan.check()
        losses.append(run.step())
        run.seconds, mark = run.seconds + time.time() - mark, time.time()
        done = run.step_count == args.steps
        if rank == 0 and (run.step_count % REPORT == 0 or done):
            held = run.held_out_loss() if run.step_count % HELD == 0 or done else None
            report(run, losses, held, (run.samples - shown_samples) / (time.time() - shown))
            shown, shown_samples, losses = time.time(), run.samples, []
        if share([float(time.time() - saved > CHECKPOINT_SECONDS or done)], args.workers)[0]:
            if rank == 0:
                run.save()
            saved = time.time()


def start(parser, worker, steps):
    """The command line, then worker(rank, args) in every process."""
    parser.add_argument("--work", required=True, help="folder of train.py")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--batch", type=int, default=16, help="samples per process and step")
    parser.add_argument("--seed", type=int, default=777)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    setup_threads(1)
    launch(worker, args)
