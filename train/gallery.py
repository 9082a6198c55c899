"""Measures the built-in models with the program, for every weight type and number of steps, and draws docs/gallery.

    python train/gallery.py --engine build/release/tintype --full mini-f16.safetensors --fast fast-f16.safetensors \\
        --tiny tiny-f16.safetensors --judge-file WORK/judge.pt --work DIR --out docs/gallery

Quantizes the files to every type, makes the 200 pictures of evaluate.py with each and at several numbers
of steps, judges them, and writes the table in docs/gallery.md, bits.png, steps.png and the contact sheets (sheets.py). Files, pictures and
results stay in DIR and are not made again; --only leaves all but some variants out.
"""

import argparse
import fnmatch
import json
import os
import subprocess
from dataclasses import dataclass

import matplotlib
import numpy as np

import evaluate
import sheets
from common import fail, say, setup_threads

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


@dataclass(frozen=True)
class Model:
    """What is measured of a model, at its own steps and CFG scale first."""

    steps: int
    scale: float
    types: str
    other_steps: tuple
    mixed: tuple  # options of `quantize` for the type "mixed"
    colour: str


MODELS = {
    "full": Model(
        20,
        2.5,
        "f16 q8_0 w8c w8ca q6_k q5_1 q5_k q5_0 q4_1 q4_k mixed q4_0 q3_k q2_k",
        (4, 6, 8, 10, 15, 30),
        ("--mixed", "7270kB"),
        "#2c5f8a",
    ),
    "fast": Model(4, 1.0, "f16 q8_0 mixed q4_0", (1, 2, 8), ("--mixed", "7270kB"), "#c0392b"),
    "tiny": Model(20, 2.5, "f16 mixed", (), ("--mixed", "3MB", "--rules", "vae.*=w8c"), "#3a8a4d"),
}
MARKS = "<!-- table of gallery.py -->", "<!-- end of the table -->"  # in the page
PROMPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calibrate.txt")  # for --mixed


@dataclass(frozen=True)
class Variant:
    """One way to make the 200 pictures. `like` names the variant that the PSNR is taken to."""

    name: str
    model: str  # of MODELS
    type: str
    steps: int
    scale: float
    side: int = 512
    like: str = ""


def variants():
    out = []
    for name, model in MODELS.items():
        first = f"{name}-f16"
        for kind in model.types.split():
            like = "" if kind == "f16" else first
            out.append(Variant(f"{name}-{kind}", name, kind, model.steps, model.scale, like=like))
        for other in model.other_steps:
            out.append(Variant(f"{first}-{other}-steps", name, "f16", other, model.scale))
        out.append(Variant(f"{first}-256", name, "f16", model.steps, model.scale, side=256))
    return out


class Bench:
    """Runs the program and keeps what it made."""

    def __init__(self, args):
        self.args, self.items = args, evaluate.prompt_list()[: args.limit]
        self.judge = None

    def path(self, *parts):
        path = os.path.join(self.args.work, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def run(self, *command):
        done = subprocess.run([self.args.engine, *command], capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def file_of(self, variant):
        """The model file of a variant, quantized on first use."""
        source = getattr(self.args, variant.model)
        if variant.type == "f16":
            return source
        path = self.path("models", f"{variant.model}-{variant.type}.gguf")
        if not os.path.exists(path):
            how = ["--type", variant.type]
            if variant.type == "mixed":
                how = [*MODELS[variant.model].mixed, "--calibrate", PROMPTS]
            self.run("quantize", source, "-o", path, "-q", *how)
        return path

    def pictures(self, variant):
        """The folder with the variant's pictures."""
        folder = self.path("pictures", variant.name, "")
        base = ["-q", "--store-programs", "-m", self.file_of(variant), "-W", str(variant.side), "-H", str(variant.side)]
        base += ["--steps", str(variant.steps), "--cfg-scale", str(variant.scale)]
        for item in self.items:
            path = os.path.join(folder, f"{item['index']:03d}.png")
            if not os.path.exists(path):
                self.run("generate", *base, "-p", item["prompt"], "-s", str(item["seed"]), "-o", path)
        return folder

    def psnr(self, variant):
        """Mean and least PSNR of the variant's pictures to those of the one that it is like."""
        folders = [self.path("pictures", name, "") for name in (variant.name, variant.like)]
        values = []
        for pair in zip(*(evaluate.folder_pictures(folder, self.items, variant.side) for folder in folders)):
            error = np.mean((pair[0].astype(np.float64) - pair[1]) ** 2)
            values.append(10 * np.log10(255**2 / max(error, 1e-3)))
        return float(np.mean(values)), float(np.min(values))

    def result(self, variant):
        """{"all": share, ...}, bits a weight, size and PSNR of a variant, from its file when it is there."""
        path = self.path("results", f"{variant.name}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        folder, model = self.pictures(variant), self.file_of(variant)
        if self.judge is None:
            self.judge, check = evaluate.trusted_judge(self.args.judge_file, self.items)
            say(evaluate.said_of(check))
        pictures = evaluate.folder_pictures(folder, self.items, variant.side)
        result = evaluate.summary(self.items, evaluate.run(self.items, pictures, self.judge))
        info = json.loads(self.run("inspect", model, "--json"))
        result["bytes"], result["bits"] = os.path.getsize(model), 8 * info["n_bytes"] / info["n_parameters"]
        if variant.like:
            result["psnr"] = self.psnr(variant)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
        return result


def row_of(variant, result):
    group = result["groups"]
    shares = [f"{100 * group['all'][key]:.1f}%" for key in ("background", "position", "size", "objects", "all")]
    ends = [f"{100 * group[g][k]:.1f}%" for g, k in (("one object", "objects"), ("two objects", "all"))]
    psnr = "{:.1f} / {:.1f}".format(*result["psnr"]) if "psnr" in result else ""
    settings = f"{variant.model}, {variant.type}, {variant.steps} steps" + (", 256x256" if variant.side == 256 else "")
    size = f"{result['bytes'] / 1e6:.1f} MB, {result['bits']:.1f}"
    return f"| {settings} | {size} | {' | '.join(shares)} | {ends[0]} | {ends[1]} | {psnr} |"


HEAD = """| model, type, steps | file, bits a weight | background | position | size | objects | all right | one object: objects | pairs: all right | PSNR to f16, mean / least |
|---|---|---|---|---|---|---|---|---|---|
"""


def put_table(page, table):
    """Puts the table between the marks of the page beside the folder."""
    with open(page, encoding="utf-8") as file:
        before, rest = file.read().split(MARKS[0])
    with open(page, "w", encoding="utf-8") as file:
        file.write(f"{before}{MARKS[0]}\n{table}{MARKS[1]}{rest.split(MARKS[1])[1]}")


def plot(path, series, label, scale="linear"):
    """Shares of pictures that are all right against something."""
    figure, axis = pyplot.subplots(figsize=(7, 3.6), dpi=90)
    for name, points, colour in series:
        points = sorted(points)
        axis.plot([p[0] for p in points], [100 * p[1] for p in points], "o-", color=colour, markersize=4, label=name)
        for x, share, text in points:
            axis.annotate(text, (x, 100 * share), textcoords="offset points", xytext=(3, -11), fontsize=7)
    axis.set_xscale(scale)
    if scale == "log":
        ticks = sorted({p[0] for _, points, _ in series for p in points})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axis.set_xlabel(label)
    axis.set_ylabel("pictures all right, %")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def draw_plots(out, results):
    bits, steps = {name: [] for name in MODELS}, {name: [] for name in MODELS}
    for variant, result in results:
        if variant.side != 512:
            continue
        share = result["groups"]["all"]["all"]
        if variant.steps == MODELS[variant.model].steps:
            bits[variant.model].append((result["bits"], share, variant.type))
        if variant.type == "f16":
            steps[variant.model].append((variant.steps, share, str(variant.steps)))
    for points, file, label, scale in ((bits, "bits", "bits a weight", "linear"), (steps, "steps", "steps", "log")):
        series = [(f"{name} model", part, MODELS[name].colour) for name, part in points.items() if len(part) > 1]
        if series:
            plot(os.path.join(out, f"{file}.png"), series, label, scale)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True, help="the program")
    parser.add_argument("--full", required=True, help="file of export.py with halves")
    parser.add_argument("--fast", help="the same of the student of four steps")
    parser.add_argument("--tiny", help="the same of the small student")
    parser.add_argument("--judge-file", required=True)
    parser.add_argument("--work", required=True, help="folder for models, pictures and results")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--only", nargs="+", default=[], help="only variants with these names (full-f16 full-q*)")
    parser.add_argument("--limit", type=int, default=evaluate.PROMPTS, help="only the first N prompts")
    args = parser.parse_args()
    setup_threads(1)
    page = f"{args.out}.md"
    if not os.path.exists(page):
        fail(f"{page} is missing: the page beside --out gets the table")
    os.makedirs(args.out, exist_ok=True)
    bench, results = Bench(args), []
    for variant in variants():
        wanted = not args.only or any(fnmatch.fnmatch(variant.name, part) for part in args.only)
        if getattr(args, variant.model) is None or not wanted:
            continue
        results.append((variant, bench.result(variant)))
        say(row_of(*results[-1]))
    put_table(page, HEAD + "".join(row_of(v, r) + "\n" for v, r in results))
    draw_plots(args.out, results)
    sheets.draw(bench, [v for v, _ in results], args.out)


if __name__ == "__main__":
    main()
