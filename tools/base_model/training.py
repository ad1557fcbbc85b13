"""What both trainings share: the state on disk, the moving average of the weights, the learning rate."""
import os
import pathlib
import signal
import time

import torch

SAVE_EVERY_SECONDS = 120


def learning_rate(step, steps, top, warm_up=100, decay=0.25):
    """Rises, stays, and falls to zero over the last quarter: a longer run only makes the middle longer."""
    falling = max(1, int(decay * steps))
    return top * min(1.0, (step + 1) / warm_up, (steps - step) / falling)


class MovingAverage:
    """Of the weights; young averages follow faster."""

    def __init__(self, model, decay):
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model, step):
        keep = min(self.decay, (step + 1) / (step + 10))
        names, values = zip(*model.named_parameters())
        torch._foreach_lerp_([self.weights[name] for name in names], list(values), 1 - keep)


class Stopped:
    """True once the process was asked to end (SIGINT, SIGTERM)."""

    def __init__(self):
        self.asked = False
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, self.ask)

    def ask(self, *_):
        self.asked = True

    def __bool__(self):
        return self.asked


def save_whole(path, value):
    """A reader, or a run after a power cut, finds the old file or the new one."""
    path = pathlib.Path(path)
    torch.save(value, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


class Run:
    """A resumable training: `for step in run` yields the steps that are still to do and saves every two minutes."""

    def __init__(self, path, model, optimizer, steps, average_decay):
        self.path, self.model, self.optimizer, self.steps = pathlib.Path(path), model, optimizer, steps
        self.average = MovingAverage(model, average_decay)
        self.step = 0
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            self.average.weights, self.step = state["average"], state["step"]
            print(f"{self.path.name}: goes on after step {self.step} of {steps}", flush=True)

    def save(self):
        save_whole(self.path, {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                               "average": self.average.weights, "step": self.step})

    def __iter__(self):
        stopped, saved = Stopped(), time.monotonic()
        while self.step < self.steps and not stopped:
            yield self.step
            self.average.update(self.model, self.step)
            self.step += 1
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()


class Log:
    """Prints the mean of the numbers of every `every` steps, with the seconds that a step took."""

    def __init__(self, every):
        self.every, self.sums, self.count, self.since = every, {}, 0, time.monotonic()

    def add(self, step, **values):
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if (step + 1) % self.every == 0:
            means = "  ".join(f"{name} {total / self.count:.4f}" for name, total in self.sums.items())
            print(f"step {step + 1}  {means}  {(time.monotonic() - self.since) / self.count:.2f} s", flush=True)
            self.sums, self.count, self.since = {}, 0, time.monotonic()
