#!/usr/bin/env python3
"""Draws results of `tintype bench --json`: bars of seconds per picture, and a roofline for every device.

  bench/report.py RESULT.json [RESULT.json ...] -o report.svg

One SVG file, written with the standard library alone.
"""
import argparse
import json
import math
import sys
from html import escape

WIDTH, BAR, LEFT, RIGHT = 860, 26, 300, 110
ROOF_HEIGHT, ROOF_LEFT = 300, 70
COLOURS = {"linear": "#2563a8", "conv3x3": "#b4552d", "attention": "#3b7f4f"}
OTHER = "#777777"


def label(result):
    device, model, request = result["device"], result["model"], result["request"]
    return (f"{device['name']}, {model['name']} {model['weights']}, {model['precision']}, "
            f"{request['width']}x{request['height']}, {request['steps']} steps")


def seconds(result):
    """Seconds of the last picture, the one that is not paid for by loading; of the parts where none was made."""
    if result["pictures"]:
        return result["pictures"][-1]["total_ms"] / 1e3
    steps = result["request"]["steps"]
    return (result["text_encoder"]["median_ms"] + steps * result["unet"]["median_ms"]
            + result["vae_decoder"]["median_ms"]) / 1e3


def text(x, y, words, size=13, anchor="start", colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(words)}</text>")


def shorten(words, most):
    return words if len(words) <= most else words[: most - 1] + "…"


def bars(results, top):
    """Seconds per picture, split into text, steps and decoder where pictures were made."""
    longest = max(seconds(r) for r in results) or 1
    scale = (WIDTH - LEFT - RIGHT) / longest
    out = [text(10, top + 16, "seconds per picture (the last of each run)", 15)]
    y = top + 34
    for r in results:
        x = LEFT
        parts = [("#8aa", seconds(r))]
        if r["pictures"]:
            p = r["pictures"][-1]
            rest = p["total_ms"] - p["denoise_ms"] - p["decode_ms"]
            parts = [("#b9b9b9", rest / 1e3), ("#2563a8", p["denoise_ms"] / 1e3), ("#b4552d", p["decode_ms"] / 1e3)]
        out.append(text(LEFT - 8, y + 14, shorten(label(r), 46), 11, "end"))
        for colour, value in parts:
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{max(value * scale, 0):.1f}" height="18" fill="{colour}"/>')
            x += value * scale
        out.append(text(x + 6, y + 14, f"{seconds(r):.2f} s", 12))
        y += BAR
    out.append(text(LEFT, y + 12, "grey: text and loading, blue: steps, brown: decoder", 11, colour="#666"))
    return out, y + 30


def kernels_of(result):
    for part in ("text_encoder", "unet", "vae_decoder"):
        for k in result[part]["kernels"]:
            if k["flops"] > 0 and k["bytes"] > 0 and k["ms"] > 0:
                yield part, k


def peaks_of(result):
    """Lines of the roof: the precision's own peak and float's."""
    peaks = result["peaks"]
    roofs = [("float", peaks["float_flops"])]
    if peaks["half_flops"] > 0:
        roofs.append(("half " + peaks["half_unit"], peaks["half_flops"]))
    if peaks["int8_ops"] > 0:
        roofs.append(("int8 " + peaks["int8_unit"], peaks["int8_ops"]))
    return roofs


def roofline(result, top):
    """Operations a second over operations per byte, both logarithmic, one circle per kind of kernel."""
    points = list(kernels_of(result))
    roofs, speed = peaks_of(result), result["peaks"]["read_bytes"]
    low_x, high_x = -1, 4
    high_y = math.ceil(math.log10(max(p for _, p in roofs)) + 0.2)
    low_y = high_y - 5
    plot = WIDTH - ROOF_LEFT - 30

    def place(intensity, rate):
        fx = (math.log10(intensity) - low_x) / (high_x - low_x)
        fy = (math.log10(max(rate, 10 ** low_y)) - low_y) / (high_y - low_y)
        return ROOF_LEFT + plot * min(max(fx, 0), 1), top + 30 + ROOF_HEIGHT * (1 - min(max(fy, 0), 1))

    out = [text(10, top + 16, "roofline: " + shorten(label(result), 100), 14)]
    for decade in range(low_x, high_x + 1):
        x, _ = place(10 ** decade, 1)
        out.append(f'<line x1="{x:.1f}" y1="{top + 30}" x2="{x:.1f}" y2="{top + 30 + ROOF_HEIGHT}" stroke="#e2e2e2"/>')
        out.append(text(x, top + 46 + ROOF_HEIGHT, f"{10.0 ** decade:g}", 11, "middle", "#666"))
    for decade in range(low_y, high_y + 1):
        _, y = place(1, 10 ** decade)
        out.append(f'<line x1="{ROOF_LEFT}" y1="{y:.1f}" x2="{ROOF_LEFT + plot}" y2="{y:.1f}" stroke="#e2e2e2"/>')
        out.append(text(ROOF_LEFT - 6, y + 4, f"{10.0 ** (decade - 9):g}", 11, "end", "#666"))
    out.append(text(ROOF_LEFT + plot, top + 62 + ROOF_HEIGHT, "operations per byte", 11, "end", "#666"))
    out.append(text(10, top + 62 + ROOF_HEIGHT, "10⁹ operations a second", 11, "start", "#666"))
    for name, peak in roofs:
        knee = peak / speed if speed > 0 else 1
        x1, y1 = place(10 ** low_x, speed * 10 ** low_x)
        x2, y2 = place(knee, peak)
        x3, y3 = place(10 ** high_x, peak)
        out.append(f'<polyline points="{x1:.1f},{y1:.1f} {x2:.1f},{y2:.1f} {x3:.1f},{y3:.1f}" fill="none" '
                   f'stroke="#444" stroke-width="1.2"/>')
        out.append(text(x3, y3 - 5, f"{name} {peak * 1e-9:.0f}", 11, "end", "#444"))
    for part, k in points:
        x, y = place(k["flops"] / k["bytes"], k["flops"] / k["ms"] * 1e3)
        colour = next((c for stem, c in COLOURS.items() if k["op"].startswith(stem)), OTHER)
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" fill-opacity="0.8"/>')
        out.append(text(x + 8, y + 4, f"{k['op']} ({part.split('_')[0]})", 10, colour=colour))
    return out, top + ROOF_HEIGHT + 90


def read(path):
    try:
        with open(path, encoding="utf-8") as stream:
            result = json.load(stream)
        if result.get("schema") != "tintype-bench/1":
            raise ValueError("its schema is not tintype-bench/1")
        for part in ("unet", "vae_decoder", "text_encoder", "peaks", "pictures", "device", "model", "request"):
            result[part]
        return result
    except (OSError, ValueError, KeyError, TypeError) as problem:
        sys.exit(f"report: {path} is no result of tintype bench: {problem}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULT.json")
    parser.add_argument("-o", "--output", default="report.svg")
    options = parser.parse_args()
    results = [read(path) for path in options.results]
    body, y = bars(results, 10)
    for result in results:
        lines, y = roofline(result, y)
        body += lines
    with open(options.output, "w", encoding="utf-8") as stream:
        stream.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
                     f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>\n'
                     + "\n".join(body) + "\n</svg>\n")
    print(f"wrote {options.output}: {len(results)} results")


if __name__ == "__main__":
    main()
