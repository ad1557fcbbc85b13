"""Times whole runs of the program: the command line of a recorded run with 1 and with 121 steps.

    start.py PROGRAM RUNS        prints seconds (median) and peak memory of each
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = ROOT / "tests/golden/trajectories/trajectory_1"


def measure(command):
    """Seconds and peak memory (MB) of a finished command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"the program ended with status {status}: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    program, runs = str(pathlib.Path(sys.argv[1]).resolve()), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        subprocess.run([sys.executable, str(ROOT / "tests/golden/make_checkpoint.py"), "tiny_sd35m", str(work / "model")],
                       check=True)
        (work / "dataset.toml").write_text((RUN / "dataset.toml").read_text().replace("{RUN}", str(RUN)))
        places = {"{CKPT}": str(work / "model"), "{OUT}": str(work), "{TOKENIZERS}": str(ROOT / "data/tokenizers"),
                  "{RUN}": str(RUN)}
        words = json.loads((RUN / "run.json").read_text())["args"]
        for key, value in places.items():
            words = [word.replace(key, value) for word in words]
        at = words.index("--max_train_steps") + 1
        for steps in (1, 121):
            words[at] = str(steps)
            measured = [measure([program, *words]) for _ in range(runs)]
            print(f"start {steps} steps: {statistics.median(s for s, _ in measured):.2f} s, "
                  f"peak memory {max(m for _, m in measured):.0f} MB")


if __name__ == "__main__":
    main()
