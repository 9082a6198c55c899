"""What the training programs share: checkpoints that survive a kill, the log."""

import csv
import os
import sys
import time

import torch


def save_checkpoint(path, state):
    """Writes beside the target and renames, so a kill leaves the old checkpoint whole."""
    temporary = f"{path}.tmp"
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path):
    return torch.load(path, map_location="cpu", weights_only=True) if os.path.exists(path) else None


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def setup_threads(count):
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)


def fail(sentence):
    sys.exit(f"error: {sentence}")


def append_row(path, columns, row):
    """Adds a row to a CSV file, which begins with the names of the columns."""
    new = not os.path.exists(path)
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, row] if new else [row])


def forget_after(path, step, column=1):
    """Drops the rows from after the checkpoint at `step` that a run goes on from."""
    if not os.path.exists(path):
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows[:1] + [row for row in rows[1:] if int(row[column]) <= step])
