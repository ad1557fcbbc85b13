"""Cache files of latents written and read, against numpy's npz.

    cache.py BUILD_FOLDER PAIRS
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    for kind in ("write", "read"):
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = f"{sys.argv[1]}/bench_cache", f"{sys.executable} {HERE}/peer_cache.py"
            if kind == "read":
                for program in (ours, theirs):
                    subprocess.run([*program.split(), "write", folder], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([sys.executable, str(HERE / "pair.py"), f"cache_{kind}", sys.argv[2],
                            f"{ours} {kind} {folder}", f"{theirs} {kind} {folder}"], check=True)


if __name__ == "__main__":
    main()
