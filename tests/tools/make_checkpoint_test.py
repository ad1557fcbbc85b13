"""The checkpoint tool writes the same bytes as the script that defines the formula."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(os.environ["LORAPTOR_BUILD"]) / "make_checkpoint"
SCRIPT = ROOT / "tests/golden/make_checkpoint.py"


class MakeCheckpoint(unittest.TestCase):
    def compare(self, words):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            model = json.loads((ROOT / "tests/golden/models.json").read_text())["tiny_sd35m"]
            (work / "model.json").write_text(json.dumps(model))
            subprocess.run([str(TOOL), str(work / "model.json"), str(work / "tool"), *words], check=True)
            subprocess.run([sys.executable, str(SCRIPT), "tiny_sd35m", str(work / "script"), *words], check=True)
            names = sorted(p.name for p in (work / "script").iterdir())
            self.assertEqual(names, sorted(p.name for p in (work / "tool").iterdir()))
            for name in names:
                self.assertEqual((work / "script" / name).read_bytes(), (work / "tool" / name).read_bytes(), name)

    def test_separate_files_in_float32(self):
        self.compare([])

    def test_one_file_in_bfloat16(self):
        self.compare(["--single-file", "--dtype", "bf16"])

    def test_float16(self):
        self.compare(["--dtype", "f16"])


if __name__ == "__main__":
    unittest.main()
