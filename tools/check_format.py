#!/usr/bin/env python3
"""Checks that C++ files are formatted as .clang-format says. `check_format.py --fix` formats them."""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    if shutil.which("clang-format") is None:
        print("format: skipped, clang-format is not installed")
        return 0
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cpp", "*.cu", "*.cuh"], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                            check=True).stdout.split()
    mode = ["-i"] if "--fix" in sys.argv else ["--dry-run", "--Werror"]
    result = subprocess.run(["clang-format", *mode, *listed], cwd=ROOT)
    print(f"format: {len(listed)} files" + ("" if result.returncode == 0 else "; run tools/check_format.py --fix"))
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
