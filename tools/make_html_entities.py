"""Writes src/text/html_entities.inc, the named character references of HTML 5, from Python's own table.

The text is a list of `name value` words: the name without & and ;, the value as hexadecimal code points joined by +.
A name that ends in ^ also counts in capital letters, with its value in capitals, as `&EACUTE;` = É does.
"""

import html
import html.entities
from pathlib import Path


def spelled(value):
    return "+".join(f"{ord(letter):X}" for letter in value)


def capital_form(name, value):
    """The capital name's value, or None where the capital name is not taken (it means something of its own)."""
    if name != name.lower():
        return None
    capital = f"&{name.upper()};"
    return value.upper() if html.unescape(capital) == capital else None


def words():
    for full_name, value in sorted(html.entities.html5.items()):
        if not full_name.endswith(";"):
            continue
        name = full_name[:-1]
        capital = capital_form(name, value)
        if capital is None:
            yield f"{name} {spelled(value)}"
        elif len(capital) == len(value):
            yield f"{name}^ {spelled(value)}"
        else:  # ß becomes SS
            yield f"{name} {spelled(value)} {name.upper()} {spelled(capital)}"


def main():
    lines = ["// Named character references of HTML 5, written by tools/make_html_entities.py."]
    line = ""
    for word in words():
        if len(line) + len(word) + 4 > 118:
            lines.append(f'"{line} "')
            line = ""
        line = f"{line} {word}" if line else word
    lines.append(f'"{line}"')
    (Path(__file__).parent.parent / "src/text/html_entities.inc").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
