"""Measures the model on held-out prompts with the trained judge (judge.py).

    python train/evaluate.py --prompts-out prompts.jsonl             the 200 prompts and their seeds
    python train/evaluate.py --judge DIR                             pictures DIR/000.png ... by anything
    python train/evaluate.py --torch DIR [--pictures OUT]            pictures by torch from checkpoints
    python train/evaluate.py --engine build/tintype --models A.gguf B.gguf --json accuracy.json
                                                                     pictures by the program, for each model

Prompts name combinations that training never showed; a quarter has two objects. A picture is right
when exactly the asked objects stand in the asked places in the asked sizes, nothing else is recognised, and
the background is the asked one. Prints a table; --json writes the same as JSON, with --engine the shares of each
model by its file's name, as `tintype compare --accuracy` takes them. Making pictures with the program needs no
torch: without --json they are only made, and kept in --pictures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import grammar
from scenes import SIZE, Curriculum, Painter, Scene, held_out, random_scene

PROMPTS, PAIRS, SEED = 200, 50, 20000
PARTS = ("background", "position", "size", "objects", "all")


def fail(sentence):
    sys.exit(f"error: {sentence}")


def prompt_list(seen=False, count=PROMPTS, pairs=PAIRS):
    """The fixed list: dicts of index, prompt, seed and what the picture must show."""
    rng = np.random.default_rng(SEED + seen)
    out = []
    while len(out) < count:
        stage = Curriculum(pairs=float(len(out) % (count // pairs) == 0), centred=0.4)
        scene = random_scene(rng, stage)
        if held_out(scene) == seen:
            continue
        text = grammar.plain_caption(scene, rng)
        out.append(
            {
                "index": len(out),
                "prompt": text,
                "seed": 1000 + len(out),
                "objects": list(scene.objects),
                "sizes": list(scene.sizes),
                "layout": scene.layout,
                "background": scene.background,
            }
        )
    return out


def compare(item, verdict):
    """What of one picture is right."""
    import judge  # needs torch, as all judging does

    slots, background = verdict
    wanted = dict(zip(judge.LAYOUT_SLOTS[item["layout"]], zip(item["objects"], item["sizes"])))
    names, asked = ({slot: name for slot, (name, _) in part.items()} for part in (slots, wanted))
    result = {
        "objects": sorted(names.values()) == sorted(asked.values()),
        "position": set(slots) == set(wanted),
        "size": all(slot in slots and slots[slot][1] == size for slot, (_, size) in wanted.items()),
        "background": background == item["background"],
        "all": slots == wanted and background == item["background"],
    }
    result["seen"] = {"slots": slots, "background": background}
    return result


def summary(items, results):
    """Shares per group and per object."""
    groups = {
        "all": lambda i: True,
        "one object": lambda i: len(i["objects"]) == 1,
        "two objects": lambda i: len(i["objects"]) == 2,
    }
    table = {}
    for group, member in groups.items():
        rows = [r for i, r in zip(items, results) if member(i)]
        table[group] = {"pictures": len(rows)}
        for key in PARTS:
            table[group][key] = round(float(np.mean([r[key] for r in rows])), 4) if rows else None
    objects = {}
    for item, result in zip(items, results):
        for name in item["objects"]:
            right, total = objects.get(name, (0, 0))
            objects[name] = (
                right + (name in (seen for seen, _ in result["seen"]["slots"].values())),
                total + 1,
            )
    backgrounds = {}
    for item, result in zip(items, results):
        right, total = backgrounds.get(item["background"], (0, 0))
        backgrounds[item["background"]] = (right + result["background"], total + 1)
    return {
        "groups": table,
        "objects": dict(sorted(objects.items())),
        "backgrounds": dict(sorted(backgrounds.items())),
    }


def print_table(report):
    print(f"{'':14s}{'pictures':>9s}" + "".join(f"{key:>12s}" for key in PARTS))
    for group, row in report["groups"].items():
        if row["pictures"]:
            shares = "".join(f"{100 * row[key]:11.1f}%" for key in PARTS)
            print(f"{group:14s}{row['pictures']:9d}{shares}")
    for key in ("objects", "backgrounds"):
        print(f"{key}: " + ", ".join(f"{n} {a}/{b}" for n, (a, b) in report[key].items()))


def folder_pictures(folder, items, side):
    """Pictures NNN.png of a folder in prompt order."""
    for item in items:
        path = os.path.join(folder, f"{item['index']:03d}.png")
        if not os.path.exists(path):
            fail(f"{path} is missing: a picture for every prompt of --prompts-out is needed")
        with Image.open(path) as image:
            if image.size != (side, side):
                fail(f"{path} is {image.size[0]}x{image.size[1]}, expected {side}x{side}")
            yield np.asarray(image.convert("RGB"))


def torch_pictures(args, items, out):
    """Pictures from checkpoints through diffusers; kept in `out` where given."""
    from sampling import Sampler

    sampler = Sampler(args.torch, args.checkpoint)
    for start in range(0, len(items), 8):
        part = items[start : start + 8]
        prompts, seeds = [i["prompt"] for i in part], [i["seed"] for i in part]
        for item, image in zip(part, sampler(prompts, seeds, args.steps, args.scale, args.side)):
            if out:
                os.makedirs(out, exist_ok=True)
                Image.fromarray(image).save(os.path.join(out, f"{item['index']:03d}.png"))
            yield image


def engine_pictures(args, model, items, folder):
    """Pictures NNN.png of one model, made by the program into the folder."""
    os.makedirs(folder, exist_ok=True)
    for item in items:
        path = os.path.join(folder, f"{item['index']:03d}.png")
        command = [args.engine, "generate", "-q", "-m", model, "-p", item["prompt"], "-s", str(item["seed"])]
        command += ["--steps", str(args.steps), "--cfg-scale", str(args.scale), "-o", path]
        command += ["-W", str(args.side), "-H", str(args.side)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            fail(f"{args.engine} cannot be run: {error.strerror}")
        if done.returncode != 0:
            fail(
                f"{args.engine} made no picture of prompt {item['index']} with {model}: {done.stderr.strip()}"
            )
    print(f"{len(items)} pictures of {os.path.basename(model)} in {folder}", flush=True)


def engine_folders(args, items, parent):
    """{model file name: folder of its pictures}, made one model after the other."""
    folders = {}
    for model in args.models:
        name = os.path.basename(os.path.normpath(model))
        if name in folders:
            fail(f"two models are called {name}; results are kept by file name, so rename one")
        if not os.path.exists(model):
            fail(f"there is no model {model}")
        folders[name] = os.path.join(parent, name)
    for model, folder in zip(args.models, folders.values()):
        engine_pictures(args, model, items, folder)
    return folders


def run_engine(args, items):
    """--engine: makes the pictures of every model and, where a result is asked for, judges them."""
    if not args.models:
        fail("--engine needs --models A B ...")
    if not args.json and not args.pictures:
        fail("--engine needs --json FILE to judge the pictures, or --pictures DIR to keep them")
    with tempfile.TemporaryDirectory() as temporary:
        folders = engine_folders(args, items, args.pictures or temporary)
        if not args.json:
            return
        model, check = trusted_judge(args.judge_file or "judge.pt", items)
        print(said_of(check))
        shares = {}
        for name, folder in folders.items():
            report = summary(items, run(items, folder_pictures(folder, items, args.side), model))
            print(f"\n{name}")
            print_table(report)
            shares[name] = {group: row["all"] for group, row in report["groups"].items() if row["pictures"]}
    with open(args.json, "w", encoding="utf-8") as file:
        json.dump(shares, file, indent=1)
        file.write("\n")


def renders_of(items, seed=9001):
    """What a perfect model would draw: the prompts' scenes, composed."""
    from render import EXACT  # needs torch

    painter, rng = Painter(seed, variants=4), np.random.default_rng(seed)
    for item in items:
        parts = {key: item[key] for key in ("objects", "layout", "background", "sizes")}
        yield painter.paint(Scene(**parts), rng, EXACT)[1]


def said_of(check):
    """What trusted_judge() found, as a sentence."""
    fresh, prompts = (f"{100 * check[key]:.1f}%" for key in ("all_right", "prompts_right"))
    return f"judge: all right on {fresh} of {check['renders']} fresh renders, {prompts} of renders of the prompts"


def trusted_judge(path, items):
    """The judge, and how often it is right on fresh renders and on renders of the prompts; it must nearly always be."""
    import judge
    from latents import LatentMap

    latent_map = LatentMap.fit()
    model = judge.obtain(path, latent_map)
    check = judge.test(model, latent_map)
    if check["all_right"] < 0.98:
        fail(f"the judge is right on {100 * check['all_right']:.1f}% of fresh renders, 98% are needed")
    check["prompts_right"] = float(
        np.mean([result["all"] for result in run(items, renders_of(items), model)])
    )
    return model, check


def run(items, pictures, model):
    results, batch = [], []
    for image in pictures:
        batch.append(image)
        if len(batch) == 20 or len(results) + len(batch) == len(items):
            verdicts = model.verdict(batch)
            results += [compare(item, v) for item, v in zip(items[len(results) :], verdicts)]
            batch = []
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts-out", help="write the prompts as JSON lines")
    parser.add_argument("--judge", metavar="DIR", help="judge DIR/NNN.png")
    parser.add_argument("--torch", metavar="WORK", help="make the pictures with torch from checkpoints")
    parser.add_argument("--engine", metavar="TINTYPE", help="make the pictures with this program")
    parser.add_argument("--models", nargs="+", help="with --engine: the models to measure", default=[])
    parser.add_argument("--pictures", help="with --torch and --engine: keep the pictures here")
    parser.add_argument(
        "--judge-file", default=None, help="the judge's weights; trained and written when absent"
    )
    parser.add_argument(
        "--seen", action="store_true", help="combinations of the training set instead of held-out ones"
    )
    parser.add_argument("--limit", type=int, default=PROMPTS, help="only the first N prompts")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--scale", type=float, default=2.5)
    parser.add_argument("--side", type=int, default=SIZE, choices=(SIZE // 2, SIZE), help="of the pictures")
    parser.add_argument("--checkpoint", default="denoiser.pt", help="with --torch: the file in WORK")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="write the result as JSON")
    args = parser.parse_args()
    items = prompt_list(args.seen)[: args.limit]
    if args.prompts_out:
        with open(args.prompts_out, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(item) + "\n" for item in items)
    if args.engine and not args.json:
        run_engine(args, items)
        return
    if not args.judge and not args.torch and not args.engine:
        return
    try:
        from common import setup_threads
    except ModuleNotFoundError as error:
        fail(f"judging needs the package {error.name}: pip install -r train/requirements.txt")
    setup_threads(args.threads)
    if args.engine:
        run_engine(args, items)
        return
    model, check = trusted_judge(args.judge_file or os.path.join(args.judge or args.torch, "judge.pt"), items)
    pictures = (
        folder_pictures(args.judge, items, args.side)
        if args.judge
        else torch_pictures(args, items, args.pictures)
    )
    results = run(items, pictures, model)
    report = {"judge": check, "steps": args.steps, "scale": args.scale, "side": args.side} | summary(
        items, results
    )
    print(said_of(check))
    print_table(report)
    if args.json:
        report["pictures"] = [item | result for item, result in zip(items, results)]
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
