"""Repeats every recorded training run of the golden folder through the command line."""
import pathlib
import subprocess
import sys

from support import GOLDEN, PROGRAM, ROOT


def main():
    folders = sorted(p.parent for p in GOLDEN.glob("trajectories/*/run.json"))
    passed, failed = 0, []
    for folder in folders:
        result = subprocess.run([sys.executable, str(ROOT / "tools/replay.py"), str(folder), "--program", str(PROGRAM)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(result.stdout.strip())
        if result.returncode == 0:
            passed += 1
        else:
            failed.append(folder.name)
    print(f"{passed} recorded runs repeated, {len(failed)} failed {failed or ''}")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
