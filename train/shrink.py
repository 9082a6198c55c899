"""Trains a UNet of less than a third of the size on what the trained one says.

    python train/shrink.py --work DIR

The small UNet begins with random weights and learns the teacher's output for noisy scenes, with the teacher's text
encoder: the teacher's mean prediction is a steadier target than the noise of single scenes, and its text encoder knows
the names already (knowledge distillation, Hinton et al., 2015). 20 steps with guidance, as the teacher. The result is
DIR/tiny.pt.
"""

import argparse

import torch

import student
from data import Mix
from networks import Diffusion

WIDTHS = (32, 64, 96, 32)  # multiples of 32, so that every row can be quantized in blocks
HARD = (0.20, 0.31, 0.14, 0.27, 0.08)


class Small(student.Lesson):
    file, name, defaults = "tiny.pt", "tintype-tiny", {"cfg_scale": "2.5", "steps": "20"}
    unet = {"block_out_channels": WIDTHS}
    stages = (
        student.Stage(0.15, Mix((0.70, 0.20, 0.05, 0.05, 0.0)), 0.85, 4.0),
        student.Stage(0.55, Mix(HARD, loose=True), 0.70, 3.0),
        student.Stage(0.80, Mix(HARD, loose=True), 0.45, 2.0),
        student.Stage(9.00, Mix(HARD, loose=True), 0.20, 2.0),
    )
    peak_rate, warmup, average, uncaptioned = 1.5e-3, 200, 0.998, 0.10

    def begin(self, tokenizer):
        self.diffusion = Diffusion()

    @torch.no_grad()
    def target(self, teacher, latents, ids, generator):
        noisy, steps, _ = self.diffusion.draw(latents, generator)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            context = teacher.text(input_ids=ids).last_hidden_state
            wanted = teacher.unet(noisy, steps, encoder_hidden_states=context).sample.float()
        return noisy, steps, context, wanted


def worker(rank, args):
    student.work(rank, args, Small())


if __name__ == "__main__":
    student.start(argparse.ArgumentParser(description=__doc__.splitlines()[0]), worker, 5000)
