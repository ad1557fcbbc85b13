"""The start on a set of many small images, against the plain Python way: the first time, and with the index of the last run.

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
    """Ratios of the first scan and of later ones."""
    first, later = [], []
    for index in range(pairs):
        lines, ours_first = run(program, folder, "--forget")
        memory = lines[1]
        _, ours_later = run(program, folder)
        peer, theirs = run(sys.executable, HERE / "peer_scan.py", folder)
        if lines[0] != peer[0]:
            sys.exit(f"not the same: ours {lines[0]}, theirs {peer[0]}")
        first.append(ours_first / theirs)
        later.append(ours_later / theirs)
        print(f"scan pair {index + 1}: first {ours_first:.3f} s, later {ours_later:.3f} s, theirs {theirs:.3f} s; {memory}",
              flush=True)
    return statistics.median(first), statistics.median(later)


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
        first, later = compare(program, folder, int(sys.argv[2]))
        check_changes(program, folder)
    print(f"scan first ratio {first:.3f}\nscan later ratio {later:.3f}")


if __name__ == "__main__":
    main()
