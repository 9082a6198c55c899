"""Draws the training curve from log.csv:  python train/curve.py train/log.csv train/curve.png"""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def series(rows, key, factor=1.0):
    pairs = [(float(r["samples"]) / 1000, float(r[key]) * factor) for r in rows if r[key] not in ("", "nan")]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def main():
    rows = read(sys.argv[1])
    figure, axis = pyplot.subplots(figsize=(8, 4), dpi=90)
    axis.plot(
        *series(rows, "loss"),
        color="#9bb8d3",
        linewidth=1,
        label="loss on training batches (the mix gets harder)",
    )
    axis.plot(
        *series(rows, "held_out_loss"),
        color="#c0392b",
        marker="o",
        markersize=3,
        label="held-out loss, averaged weights",
    )
    axis.set_yscale("log")
    axis.set_xlabel("thousand samples")
    axis.set_ylabel("squared error of v")
    axis.legend(loc="upper right", frameon=False)
    rate = axis.twinx()
    rate.plot(*series(rows, "learning_rate"), color="#999999", linewidth=1, linestyle=":")
    rate.set_ylabel("learning rate (dotted)")
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Software": None})


if __name__ == "__main__":
    main()
