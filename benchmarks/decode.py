"""Decode, resize, crop on all cores against Pillow and OpenCV in one process.

    decode.py BUILD_FOLDER PAIRS [COUNT]
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(HERE / "make_image_set.py"), folder, "--side", "1200", "--count",
                        sys.argv[3] if len(sys.argv) > 3 else "90"], check=True)
        subprocess.run([sys.executable, str(HERE / "pair.py"), "decode", sys.argv[2],
                        f"{sys.argv[1]}/bench_decode {folder}", f"{sys.executable} {HERE}/peer_decode.py {folder}"],
                       check=True)


if __name__ == "__main__":
    main()
