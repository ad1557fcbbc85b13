"""Runs two commands in turn and prints the median ratio of the seconds each prints on its last line.

    pair.py NAME PAIRS OURS THEIRS [VARIANT ...]       {variant} in the commands is replaced
The last line is `NAME ratio R`; with several variants R is the worst, and each has a line of its own before.
"""
import statistics
import subprocess
import sys


def seconds(command):
    out = subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(out.strip().splitlines()[-1].split()[-1])


def main():
    name, pairs, ours, theirs, *variants = sys.argv[1:]
    worst = 0.0
    for variant in variants or [""]:
        ratios = []
        for index in range(int(pairs)):
            a, b = seconds(ours.replace("{variant}", variant)), seconds(theirs.replace("{variant}", variant))
            ratios.append(a / b)
            print(f"{name} {variant} pair {index + 1}: ours {a:.4f} s, theirs {b:.4f} s, ratio {a / b:.3f}", flush=True)
        ratio = statistics.median(ratios)
        worst = max(worst, ratio)
        if variant:
            print(f"{name} {variant} ratio {ratio:.3f}")
    print(f"{name} ratio {worst:.3f}")


if __name__ == "__main__":
    main()
