"""The start on a set of many small images, against the plain Python way: the first time, with the index of the last run
(`later`), and from the second start on in which nothing changed, when the folder itself need not be listed (`again`).

    scan.py BUILD_FOLDER PAIRS [COUNT]
Both must find the same; an edited, an added and a removed file must be noticed. The set is made in a temporary folder.
"""
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(*words):
    lines = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return lines, float(lines[-1].split()[-1])


def compare(program, folder, pairs):
    """Median ratios of the first scan, the second and the third."""
    ratios = {"first": [], "later": [], "again": []}
    for index in range(pairs):
        peer, theirs = run(sys.executable, HERE / "peer_scan.py", folder)
        seconds = {}
        for name in ratios:
            lines, seconds[name] = run(program, folder, *(["--forget"] if name == "first" else []))
            if lines[0] != peer[0]:
                sys.exit(f"not the same: ours {lines[0]}, theirs {peer[0]}")
            ratios[name].append(seconds[name] / theirs)
            time.sleep(2.5)  # files and folders of this very moment are not trusted; starts are further apart
        print(f"scan pair {index + 1}: " + ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items()) +
              f", theirs {theirs:.3f} s; {lines[1]}", flush=True)
    return {name: statistics.median(values) for name, values in ratios.items()}


def check_changes(program, folder):
    """After an edit, an addition and a removal the index must not hide anything."""
    images = sorted(folder.glob("*.jpg"))
    images[0].with_suffix(".txt").write_text("edited\n")
    (folder / "added.jpg").write_bytes(images[1].read_bytes())
    images[2].unlink()
    ours, peer = run(program, folder)[0][0], run(sys.executable, HERE / "peer_scan.py", folder)[0][0]
    if ours != peer:
        sys.exit(f"changes were not noticed: ours {ours}, theirs {peer}")
    print("an edited, an added and a removed file are noticed")


def main():
    program = pathlib.Path(sys.argv[1]) / "bench_scan"
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "set"
        start = time.time()
        subprocess.run([sys.executable, str(HERE / "make_image_set.py"), str(folder), "--count",
                        sys.argv[3] if len(sys.argv) > 3 else "200000"], check=True)
        print(f"set made in {time.time() - start:.0f} s", flush=True)
        time.sleep(2.5)  # files of this very moment are not trusted
        ratios = compare(program, folder, int(sys.argv[2]))
        check_changes(program, folder)
    for name, ratio in ratios.items():
        print(f"scan {name} ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
