"""Several training processes that average their gradients."""

import datetime
import os
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from common import fail, setup_threads


def average_gradients(parameters, workers, limit=1.0):
    """Makes every process hold the mean gradient, its length cut to `limit`; returns the length before."""
    flat = torch.cat([p.grad.reshape(-1) for p in parameters])
    if workers > 1:
        dist.all_reduce(flat)
        flat /= workers
    norm = float(flat.norm())
    if not norm < float("inf"):  # a gradient that is no number leaves the weights as they are
        flat.zero_()
    flat *= min(1.0, limit / (norm + 1e-6))
    for p, grad in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(grad.view_as(p))
    return norm


def share(values, workers):
    """Everyone takes process 0's numbers."""
    word = torch.tensor(values, dtype=torch.float64)
    if workers > 1:
        dist.broadcast(word, 0)
    return word.tolist()


class Orphan:
    """Tells a process that the one which started it is gone."""

    def __init__(self):
        self.parent = os.getppid()

    def check(self):
        if os.getppid() != self.parent:
            fail("the starting process is gone; the last checkpoint stands")


def _enter(rank, function, args, token):
    setup_threads(1)
    if args.workers > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{args.work}/rendezvous.{token}",
            rank=rank,
            world_size=args.workers,
            timeout=datetime.timedelta(days=30),  # the processes may be paused as long as anyone likes
        )
    function(rank, args)
    if args.workers > 1:
        dist.destroy_process_group()


def launch(function, args):
    """Runs function(rank, args) in `args.workers` processes of one thread each."""
    token = f"{os.getpid()}.{int(time.time())}"
    if args.workers == 1:
        return _enter(0, function, args, token)
    mp.spawn(_enter, (function, args, token), nprocs=args.workers)
