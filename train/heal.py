"""Heals a structurally pruned model: a short distillation against the model that it came from.

    tintype quantize models/tintype-mini.gguf --type f16 --prune-structured 0.25 -o pruned.gguf
    python train/heal.py --student pruned.gguf --work DIR --minutes 10 --out healed.safetensors

The student sees noisy scenes painted on the fly and learns the teacher's output, the outputs of the
teacher's blocks, and the v target itself (the losses of BK-SDM, Kim et al., arXiv 2305.15798). The
text encoder and the VAE stay as they are. A stopped run goes on from its checkpoint in DIR; the
file is written at the end, and `tintype quantize` makes it any other type.
"""

import argparse
import copy
import json
import math
import os
import time

import torch

import single_file
import tokenizer as bpe
from common import fail, load_checkpoint, save_checkpoint, say, setup_threads
from data import FreshSource
from export import write_safetensors
from networks import Diffusion
from scenes import Painter

PEAK_RATE, FLOOR, WARMUP = 6e-4, 0.02, 30
TASK, OUTPUT, FEATURE = 0.25, 1.0, 0.1  # weights of the v target, the teacher's output, its blocks
EMA = 0.995
CHECKPOINT_SECONDS = 60


class Features:
    """Remembers what the blocks of a UNet give at each pass."""

    def __init__(self, unet):
        self.values = []
        blocks = [*unet.down_blocks, *([unet.mid_block] if unet.mid_block else []), *unet.up_blocks]
        for block in blocks:
            block.register_forward_hook(self._keep)

    def _keep(self, module, inputs, output):
        self.values.append(output[0] if isinstance(output, tuple) else output)

    def take(self):
        values, self.values = self.values, []
        return values


def relative_square(got, want):
    """Mean squared difference over the variance of what is wanted: blocks differ in size."""
    got, want = got.float(), want.float()
    return (got - want).square().mean() / want.var().clamp(min=1e-8)


def learning_rate(progress, iteration):
    cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return PEAK_RATE * cosine * min(1.0, (iteration + 1) / WARMUP)


def write_tokenizer(folder, texts):
    os.makedirs(folder, exist_ok=True)
    for name, key in (("vocab.json", "vocab"), ("merges.txt", "merges"), ("tokenizer_config.json", "tokenizer_config")):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(texts[f"tintype.{key}"])


class Heal:
    def __init__(self, args):
        self.args = args
        teacher_arrays, teacher_texts = single_file.read(args.teacher)
        self.arrays, self.texts = single_file.read(args.student)
        self.student = single_file.build_unet(self.arrays, self.texts).to(memory_format=torch.channels_last)
        self.teacher = single_file.build_unet(teacher_arrays, teacher_texts).to(memory_format=torch.channels_last)
        self.teacher.eval().requires_grad_(False)
        self.text = single_file.build_text(self.arrays, self.texts)
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        self.seen, self.shown = Features(self.student), Features(self.teacher)
        self.optimizer = torch.optim.AdamW(self.student.parameters(), PEAK_RATE, (0.9, 0.99), weight_decay=0.01)
        self.checkpoint = os.path.join(args.work, "heal.pt")
        self.iteration, self.samples, self.seconds = 0, 0, 0.0
        self._resume()
        write_tokenizer(os.path.join(args.work, "tokenizer"), self.texts)
        words = bpe.Tokenizer(os.path.join(args.work, "tokenizer"))
        vae, painter = single_file.build_vae(self.arrays, self.texts), Painter(args.seed)
        self.source = FreshSource(vae, painter, words, [args.seed, self.iteration])
        self.held = FreshSource(vae, painter, words, [args.seed, 77], held=True).batch(32, bpe.LENGTH)
        self.diffusion = Diffusion()
        self.generator = torch.Generator().manual_seed(args.seed * 1000003 + self.iteration)

    def _names(self):
        """What the checkpoint's weights are for: another student's must not be taken."""
        return json.dumps({k: list(v.shape) for k, v in sorted(self.student.state_dict().items())})

    def _resume(self):
        state = load_checkpoint(self.checkpoint)
        if not state:
            return
        if state["names"] != self._names():
            fail(f"{self.checkpoint} is of another student: give another --work, or delete it")
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.samples, self.seconds = (state[k] for k in ("iteration", "samples", "seconds"))

    def save(self):
        save_checkpoint(
            self.checkpoint,
            {
                "names": self._names(),
                "student": self.student.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "iteration": self.iteration,
                "samples": self.samples,
                "seconds": self.seconds,
            },
        )

    @property
    def progress(self):
        return min(1.0, self.seconds / (60 * self.args.minutes))

    def step(self):
        """One optimizer step; returns the parts of the loss."""
        latents, ids = self.source.batch(self.args.batch, bpe.LENGTH)
        noisy, steps, target = self.diffusion.draw(latents, self.generator)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            context = self.text(input_ids=ids).last_hidden_state
            wanted = self.teacher(noisy, steps, encoder_hidden_states=context).sample.float()
        with torch.autocast("cpu", torch.bfloat16):
            output = self.student(noisy, steps, encoder_hidden_states=context).sample.float()
        pairs = list(zip(self.seen.take(), self.shown.take(), strict=True))
        task, distance = (output - target).square().mean(), (output - wanted).square().mean()
        feature = sum(relative_square(got, want) for got, want in pairs) / len(pairs)
        loss = TASK * task + OUTPUT * distance + FEATURE * feature
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress, self.iteration)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.iteration += 1
        self.samples += self.args.batch
        self._update_average()
        return [float(part.detach()) for part in (task, distance, feature)]

    @torch.no_grad()
    def _update_average(self):
        decay = min(EMA, (1 + self.iteration) / (10 + self.iteration))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.student.parameters()), 1 - decay)

    @torch.no_grad()
    def held_out(self):
        """Squared difference of the averaged student's outputs to the teacher's on fixed held-out scenes, relative."""
        latents, ids = self.held
        noisy, steps, _ = self.diffusion.draw(latents, torch.Generator().manual_seed(5))
        context = self.text(input_ids=ids).last_hidden_state
        got = self.average(noisy, steps, encoder_hidden_states=context).sample
        want = self.teacher(noisy, steps, encoder_hidden_states=context).sample
        self.seen.take(), self.shown.take()
        return float((got - want).square().sum() / want.square().sum())

    def write(self, path):
        """The student's file with the healed UNet, in f16."""
        arrays = dict(self.arrays)
        for name, tensor in self.average.state_dict().items():
            arrays[f"unet.{name}"] = tensor.float().contiguous().numpy().reshape(arrays[f"unet.{name}"].shape)
        halves = {name: array.astype("float16") for name, array in arrays.items()}
        texts = {k: v for k, v in self.texts.items() if k.startswith("tintype.") and k != "tintype.quantize"}
        note = {"teacher": os.path.basename(self.args.teacher), "samples": self.samples}
        write_safetensors(path, halves, texts | {"tintype.healed": json.dumps(note, sort_keys=True)})


def run(heal):
    say(f"healing {sum(p.numel() for p in heal.student.parameters())} parameters against a teacher of "
        f"{sum(p.numel() for p in heal.teacher.parameters())}; off by {heal.held_out():.5f} on held-out scenes")
    mark = saved = time.time()
    losses = []
    while heal.progress < 1.0:
        losses.append(heal.step())
        now = time.time()
        heal.seconds += now - mark
        mark = now
        if heal.iteration % 50 == 0:
            task, distance, feature = (sum(column) / len(column) for column in zip(*losses))
            say(f"{heal.seconds / 60:.1f} min, {heal.samples} samples: v {task:.4f}, output {distance:.5f}, "
                f"blocks {feature:.4f}")
            losses = []
        if now - saved > CHECKPOINT_SECONDS:
            heal.save()
            saved = now
    heal.save()
    say(f"{heal.samples} samples; off by {heal.held_out():.5f} on held-out scenes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", required=True, help="the pruned single file, GGUF or safetensors")
    parser.add_argument("--teacher", default="models/tintype-mini.gguf", help="the file that it was pruned from")
    parser.add_argument("--work", required=True, help="folder for checkpoints")
    parser.add_argument("--out", required=True, help="safetensors file to write")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, over all runs in this folder")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=4321)
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    setup_threads(args.threads)
    heal = Heal(args)
    run(heal)
    heal.write(args.out)
    print(f"{args.out}: {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
