#!/usr/bin/env python3
"""Checks that includes in src/ only point to lower tiers (tools/layers.toml). Exits 1 and lists what does not."""
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*"([a-z0-9_]+)/[^"]+"', re.M)


def main():
    allowed = tomllib.loads((ROOT / "tools/layers.toml").read_text())["may_include"]
    problems, files = [], 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh", ".inc"):
            continue
        files += 1
        folder = path.relative_to(ROOT / "src").parts[0]
        if folder not in allowed:
            problems.append(f"src/{folder}: not listed in tools/layers.toml")
            continue
        for match in INCLUDE.finditer(path.read_text()):
            target = match.group(1)
            if target != folder and target not in allowed[folder]:
                problems.append(f"{path.relative_to(ROOT)}: includes {target}/, allowed: {', '.join(allowed[folder]) or 'nothing'}")
    print("\n".join(problems) if problems else f"layers: {files} files, all includes point down")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
