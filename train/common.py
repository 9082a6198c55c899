"""What the training programs share: the clock, checkpoints that survive a kill, the log."""

import datetime
import os
import sys
import time

import torch


def deadline_seconds(text):
    """Seconds from now to the next HH:MM on this machine's clock."""
    hour, minute = (int(part) for part in text.split(":"))
    now = datetime.datetime.now()
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then <= now - datetime.timedelta(hours=12):
        then += datetime.timedelta(days=1)
    return (then - now).total_seconds()


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
