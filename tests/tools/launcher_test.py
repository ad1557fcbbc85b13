"""sd3_train_network.py starts the program with its arguments and environment unchanged."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[2] / "sd3_train_network.py"
ARGUMENTS = ["--network_args", "conv_dim=4", "--output_name=a b", "", "--sample_prompts", "it's \"ö\"*.txt", "--", "-x"]
FAKE_PROGRAM = """#!/bin/sh
printf '%s\\n' "$0" "$RANK" "$@"
exit 7
"""


class LauncherTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.launcher = self.folder / LAUNCHER.name
        shutil.copy(LAUNCHER, self.launcher)

    def make_program(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE_PROGRAM)
        path.chmod(0o755)
        return path

    def launch(self, **environment):
        variables = {key: value for key, value in os.environ.items() if key != "LORAPTOR"}
        variables.update({"PATH": "/usr/bin:/bin", "RANK": "3"} | environment)
        return subprocess.run([sys.executable, self.launcher, *ARGUMENTS], env=variables, capture_output=True,
                              encoding="utf-8", check=False)

    def expect_started(self, result, program):
        self.assertEqual(result.stdout.split("\n")[:-1], [str(program), "3", *ARGUMENTS])
        self.assertEqual(result.returncode, 7)

    def test_program_beside_it(self):
        program = self.make_program(self.folder / "loraptor")
        self.expect_started(self.launch(), program)

    def test_program_of_the_build(self):
        program = self.make_program(self.folder / "build/release/loraptor")
        self.expect_started(self.launch(), program)

    def test_program_on_the_path(self):
        program = self.make_program(self.folder / "elsewhere/loraptor")
        self.expect_started(self.launch(PATH=f"{program.parent}:/usr/bin:/bin"), program)

    def test_variable_wins(self):
        self.make_program(self.folder / "loraptor")
        program = self.make_program(self.folder / "other/program")
        self.expect_started(self.launch(LORAPTOR=str(program)), program)

    def test_missing_program_is_explained(self):
        result = self.launch()
        self.assertEqual(result.returncode, 1)
        self.assertIn("expected one", result.stderr)
        self.assertIn("Hint: build it", result.stderr)

    def test_wrong_variable_is_explained(self):
        result = self.launch(LORAPTOR=str(self.folder / "none"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("could not be started", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()
