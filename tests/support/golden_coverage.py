"""Start: empties the log of golden files that tests read. Check: fails if a file in models/ was read by none."""
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = pathlib.Path(os.environ.get("LORAPTOR_GOLDEN") or ROOT / "tests/golden").resolve()
LOG = pathlib.Path(os.environ["LORAPTOR_GOLDEN_LOG"])
COVERED = ("models",)  # folders in which every file must be read


def main():
    if sys.argv[1] == "start":
        shutil.rmtree(LOG, ignore_errors=True)
        LOG.mkdir(parents=True)
        return 0
    read = {name.replace("+", "/") for name in os.listdir(LOG)}
    unread = sorted(str(path.relative_to(GOLDEN)) for folder in COVERED for path in (GOLDEN / folder).glob("*")
                    if path.suffix in (".safetensors", ".json") and str(path.relative_to(GOLDEN)) not in read)
    print(f"{len(read)} golden files read")
    for name in unread:
        print(f"no test read {name}")
    return 1 if unread else 0


if __name__ == "__main__":
    sys.exit(main())
