#!/usr/bin/env python3
"""Checks file and function lengths in src/. Longer ones need a line in tools/size_exceptions.toml with a reason."""
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION = 400, 60
# A definition at the start of a line or inside a namespace: "type name(args) ... {" with its closing "}" at the same indent.
OPENING = re.compile(r"^(?P<indent> {0,2})(?![ #/])(?!(namespace|struct|class|enum|union|extern)\b).*\)[^;{]*\{\s*$")


def functions(lines):
    """Yields (first line number, length) of function bodies."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None:
            match = OPENING.match(line)
            if match:
                start, closing = number, match.group("indent") + "}"
        elif line.startswith(closing) and line.strip() in ("}", "};"):
            yield start, number - start + 1
            start = None


def main():
    exceptions = tomllib.loads((ROOT / "tools/size_exceptions.toml").read_text())
    problems, files = [], 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        files += 1
        name = str(path.relative_to(ROOT))
        if name in exceptions:
            continue
        lines = path.read_text().splitlines()
        if len(lines) > MAX_FILE:
            problems.append(f"{name}: {len(lines)} lines, at most {MAX_FILE}")
        problems += [f"{name}:{first}: function of {length} lines, at most {MAX_FUNCTION}"
                     for first, length in functions(lines) if length > MAX_FUNCTION]
    problems += [f"tools/size_exceptions.toml: {name} does not exist" for name in exceptions if not (ROOT / name).exists()]
    print("\n".join(problems) if problems else f"sizes: {files} files within {MAX_FILE} lines, functions within {MAX_FUNCTION}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
