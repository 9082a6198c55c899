"""Distils the model into one of four steps without guidance.

    python train/distill.py --work DIR

The student has the teacher's architecture, weights to begin with, and text encoder. From each of its
four noise levels the teacher goes on with eight-step DDIM and classifier-free guidance to the next
of the four; the student learns to land there in one step without guidance (progressive distillation,
Salimans and Ho, 2022, with the guidance folded in, Meng et al., 2023). It runs with plain DDIM, trailing
steps, CFG scale 1. The result is DIR/fast.pt.
"""

import argparse

import torch

import student
import tokenizer as bpe
from data import Mix
from networks import Diffusion

STUDENT_STEPS, PIECES = 4, 2  # the teacher takes PIECES steps for one of the student's; 8 are as right as 20
SCALE = 2.5  # the teacher's guidance
MIX = Mix((0.20, 0.30, 0.14, 0.28, 0.08), loose=True)


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


class FewSteps(student.Lesson):
    file, name, defaults = "fast.pt", "tintype-fast", {"cfg_scale": "1", "steps": str(STUDENT_STEPS)}
    stages = (student.Stage(0.5, MIX, 0.75), student.Stage(9.0, MIX, 0.2))

    def begin(self, tokenizer):
        self.path = Path()
        self.empty = torch.tensor([tokenizer("", bpe.LENGTH)])

    @torch.no_grad()
    def target(self, teacher, latents, ids, generator):
        count, path = len(latents), self.path
        now = path.starts[torch.randint(STUDENT_STEPS, (count,), generator=generator)]
        noise = torch.randn(latents.shape, generator=generator)
        alpha, sigma = path.at(now)
        x = (alpha * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            context = teacher.text(input_ids=torch.cat([self.empty, ids])).last_hidden_state
            both = torch.cat([context[:1].expand(count, -1, -1), context[1:]])
            end = x
            for k in range(PIECES):
                level, then = path.piece(now, k), path.piece(now, k + 1)
                pair = torch.cat([end, end]).contiguous(memory_format=torch.channels_last)
                v = teacher.unet(pair, level.repeat(2), encoder_hidden_states=both).sample.float()
                plain, guided = v.chunk(2)
                end = path.step(end, plain + SCALE * (guided - plain), level, then)
        return x, now, context[1:], path.v_between(x, end, now, path.piece(now, PIECES))


def worker(rank, args):
    student.work(rank, args, FewSteps())


if __name__ == "__main__":
    student.start(argparse.ArgumentParser(description=__doc__.splitlines()[0]), worker, 1500)
