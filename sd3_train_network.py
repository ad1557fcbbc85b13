"""Runs loraptor with the arguments given here, for front ends and notebooks that call this script by its old name.

`python sd3_train_network.py ARGS` and `accelerate launch ... sd3_train_network.py ARGS` both work; the environment of a
run with several processes (RANK, WORLD_SIZE, MASTER_ADDR, ...) is passed on as it is.
"""

import os
import shutil
import sys

here = os.path.dirname(os.path.realpath(__file__))


def find_program():
    if os.environ.get("LORAPTOR"):
        return os.environ["LORAPTOR"]
    for folder in (here, os.path.join(here, "bin"), os.path.join(here, "build", "release")):
        program = os.path.join(folder, "loraptor")
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    return shutil.which("loraptor")


program = find_program()
if program is None:
    sys.exit(f"[sd3_train_network.py] program loraptor: got none in {here} or on PATH, expected one.\n"
             "Hint: build it (cmake --preset release && cmake --build --preset release), "
             "or set LORAPTOR to the path of the program.")
try:
    os.execv(program, [program, *sys.argv[1:]])
except OSError as error:
    sys.exit(f"[{program}] could not be started: {error.strerror}.\nHint: LORAPTOR must be the path of the program.")
