"""The demo as demo.sh runs it: the base model draws what it is asked for, the LoRA learns the word, the page shows it.

The limits are those of the tables in docs/demo_model.md."""
import importlib.util
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

import browser
from support import PROGRAM, ROOT, read_log, read_safetensors, run

sys.path.insert(0, str(ROOT / "tools/base_model"))
BUILD = pathlib.Path(os.environ.get("LORAPTOR_BUILD") or ROOT / "build/release")
UNSEEN = 777  # seed of pictures that no training uses
SHORT = ["--max_train_epochs=1"]


def demo_command(out):
    """The training command of demo.sh with another output folder: it is tested as a user copies it."""
    command = re.search(r"^python3 sd3_train_network\.py (.*?[^\\])$", (ROOT / "demo.sh").read_text(), re.S | re.M)[1]
    return shlex.split(command.replace("\\\n", " ").replace("$out", str(out)))


def documented_limits():
    """{(pictures, what): (bound, limit, figure)} of the rows "| pictures | what | at least 80 % | 97 % |"."""
    row = r"^\| ([\w ]+) \| (\w+) \| (at least|at most) (\d+) % \| (\d+) % \|"
    rows = re.findall(row, (ROOT / "docs/demo_model.md").read_text(), re.M)
    return {(pictures, what): (bound, int(limit), int(figure)) for pictures, what, bound, limit, figure in rows}


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        sizes = ROOT / "tools/base_model/base_model.json"
        subprocess.run([BUILD / "make_checkpoint", sizes, cls.work / "encoders"], check=True)
        cls.model = [f"--{name}={cls.work / 'encoders' / name}.safetensors" for name in ("clip_l", "clip_g", "t5xxl")]
        cls.base = ROOT / "demo/base_model.safetensors"
        cls.lora = cls.work / "whole/zorb.safetensors"
        run(cls.command("whole"), cwd=ROOT)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def command(cls, name, extra=()):
        out = cls.work / name
        out.mkdir(exist_ok=True)
        if not (out / "encoders").exists():
            (out / "encoders").symlink_to(cls.work / "encoders")
        return demo_command(out) + list(extra)

    def with_base(self, base):
        return [f"--pretrained_model_name_or_path={base}", *self.model]

    def expect_same(self, one, other):
        want, got = read_safetensors(one), read_safetensors(other)
        self.assertEqual(set(want), set(got))
        for name in want:
            self.assertTrue((want[name] == got[name]).all(), name)

    @unittest.skipIf(importlib.util.find_spec("cv2") is None, "Python has no OpenCV (setup.sh installs it)")
    def test_base_and_lora_draw_what_they_are_asked_for(self):
        import evaluate
        limits, measured = documented_limits(), {}
        for pictures, result in evaluate.measure(self.with_base(self.base), self.lora, program=PROGRAM):
            measured.update({(pictures, what): 100 * share for what, share in result.items()})
        self.assertEqual(len(limits), 5)
        for key, (bound, limit, figure) in limits.items():
            with self.subTest(key):
                compare = self.assertGreaterEqual if bound == "at least" else self.assertLessEqual
                compare(measured[key], limit)
                # Another processor rounds differently, so its LoRA is another one: ten samples of 64 may change sides.
                self.assertLess(abs(measured[key] - figure), 16, "docs/demo_model.md: measure again with evaluate.py")

    def test_the_autoencoder_keeps_unseen_pictures(self):
        import draw
        pictures = [self.work / f"unseen{index}.png" for index in range(64)]
        for index, path in enumerate(pictures):
            draw.write_png(path, draw.draw(draw.random_picture(UNSEEN, index)))
        done = subprocess.run([BUILD / "reconstruct", self.base, *pictures], stdout=subprocess.PIPE, text=True, check=True)
        documented = re.search(r"ratio of ([\d.]+) dB \(`reconstruct`; limit (\d+) dB\)", (ROOT / "docs/demo_model.md").read_text())
        measured = float(done.stdout.split()[0])
        self.assertGreaterEqual(measured, float(documented[2]))
        self.assertAlmostEqual(measured, float(documented[1]), delta=0.1)

    def test_the_same_seed_gives_the_same_lora(self):
        for name in ("one", "two"):
            run(self.command(name, SHORT), cwd=ROOT)
        self.expect_same(self.work / "one/zorb.safetensors", self.work / "two/zorb.safetensors")
        self.interrupt("three", after_steps=20)
        self.assertFalse((self.work / "three/zorb.safetensors").exists())
        self.assertIn("goes on with", run(self.command("three", SHORT), cwd=ROOT))
        self.expect_same(self.work / "one/zorb.safetensors", self.work / "three/zorb.safetensors")

    def interrupt(self, name, after_steps):
        """Presses Ctrl-C once so many steps are logged."""
        log = self.work / name / "log.jsonl"
        process = subprocess.Popen([PROGRAM, *self.command(name, SHORT)], cwd=ROOT, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("\n") >= after_steps:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=120)[0]
        self.assertEqual(process.returncode, 130, output)

    @unittest.skipIf(importlib.util.find_spec("cv2") is None, "Python has no OpenCV (setup.sh installs it)")
    def test_the_merged_checkpoint_draws_the_same_pictures(self):
        import evaluate
        merged = self.work / "merged.safetensors"
        run(["merge", "--sd3_checkpoint", self.base, "--models", self.lora, "--save_precision", "float", "--save_to", merged])
        asked = evaluate.new_pictures(8)
        with_lora = evaluate.generate(self.with_base(self.base), asked, [self.lora], PROGRAM)
        from_merged = evaluate.generate(self.with_base(merged), asked, program=PROGRAM)
        difference = np.abs(np.int32(with_lora) - np.int32(from_merged))
        self.assertLessEqual(difference.max(), 2)
        self.assertLess((difference > 0).mean(), 0.01)

    def test_the_loss_falls_and_every_moment_has_its_pictures(self):
        losses = [line["loss"] for line in read_log(self.work / "whole/log.jsonl") if "loss" in line]
        self.assertLess(np.mean(losses[-50:]), 0.8 * np.mean(losses[:50]))
        names = sorted(path.name for path in (self.work / "whole/sample").iterdir())
        self.assertEqual(len(names), 4 * len({name.split("_")[1] for name in names}))

    @unittest.skipIf(browser.CHROMIUM is None, "no Chromium is installed")
    def test_the_page_works_in_a_browser(self):
        page = self.work / "whole/report.html"
        self.assertEqual(re.findall(r"(?:src|href)=\"(?!data:)[^\"]*", page.read_text()), [])
        found = browser.probe(page, self.work)
        self.assertEqual((found["broken"], found["distorted"], found["requests"]), (0, 0, []))
        self.assertLessEqual(found["overflow"], 0)
        for title in ("Sample images", "Loss", "Where the LoRA lies, and how to load it", "Settings"):
            self.assertIn(title, found["sections"])
        for stem in range(1, 9):
            self.assertTrue(any(f"zorb{stem}" in caption for caption in found["captions"]))
        self.assertEqual(found["captions"].count("before training"), 4)
        self.assertGreaterEqual(found["images"], 8 + 4 * 3)
        # To look at it: LORAPTOR_SCREENSHOT=/tmp/page.png
        picture = pathlib.Path(os.environ.get("LORAPTOR_SCREENSHOT") or self.work / "page.png")
        self.assertEqual(browser.screenshot(page, picture, self.work, height=3000), (1200, 3000))


if __name__ == "__main__":
    assert PROGRAM.exists(), PROGRAM
    unittest.main()
