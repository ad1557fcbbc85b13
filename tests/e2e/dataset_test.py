"""`loraptor dataset` and `--debug_dataset` as a user meets them; the page is opened in a real Chromium."""
import os
import pathlib
import re
import shutil
import tempfile
import unittest

import browser
from support import IMAGES, make_checkpoint, photo_dataset, read_log, run


def copy_images(folder):
    folder.mkdir()
    for source in sorted(IMAGES.iterdir()):
        if source.suffix != ".npz":
            shutil.copy(source, folder / source.name)
    return folder


class DatasetCommand(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self.scratch.name)
        self.images = copy_images(self.work / "images")
        self.pictures = sorted(p for p in self.images.iterdir() if p.suffix != ".txt")
        photo_dataset(self.work / "data.toml", repeats=3, images=self.images)

    def tearDown(self):
        self.scratch.cleanup()

    def break_some(self):
        """A set with something wrong of each kind; returns the names of the files that have to be told."""
        first = self.pictures[0]
        shutil.copy(first, self.images / "copy.png")
        (self.images / "copy.txt").write_text("a copy")
        (self.images / "half.png").write_bytes(self.pictures[1].read_bytes()[:2000])
        (self.images / "half.txt").write_text("half a file")
        (self.images / "silent.png").write_bytes(self.pictures[2].read_bytes() + b" ")
        self.pictures[3].with_suffix(".txt").write_text("word " * 400)
        return ["copy.png", "half.png", "silent.png", self.pictures[3].name]

    def test_a_good_set_ends_with_0_and_a_bad_one_with_1(self):
        text = run(["dataset", self.work / "data.toml"])
        self.assertIn(f"{len(self.pictures)} images, {3 * len(self.pictures)} samples", text)
        self.assertNotIn("PROBLEM", text)
        for encoder in ("CLIP-L", "CLIP-G", "T5"):
            self.assertIn(encoder, text)
        # The same by the flags of training, which need neither model nor output folder.
        self.assertEqual(text, run(["dataset", "--dataset_config", self.work / "data.toml"]))
        bad = self.break_some()
        text = run(["dataset", self.work / "data.toml"], expect=1)
        problems = text[text.index("PROBLEM"):]
        for name in bad:
            self.assertIn(name, problems)
        self.assertIn("4 problems", text)

    def test_places_and_names_that_are_easily_mixed_up_are_told(self):
        def told(*words, expect=1):
            return " ".join(run(["dataset", "--resolution", "64", *words], expect=expect, cwd=self.work).split())

        self.images.rename(self.work / "10_cat")
        # The folder of the images instead of the one above it; images beside the folders.
        text = told("--train_data_dir", "10_cat", "--caption_extension", ".txt")
        self.assertIn("images directly in '10_cat' are not used", text)
        (self.work / "sets" / "1_cat").mkdir(parents=True)
        shutil.copy(self.work / "10_cat" / self.pictures[0].name, self.work / "sets" / "1_cat" / "a.png")
        (self.work / "sets" / "1_cat" / "a.txt").write_text("a cat")
        for name in ("b.Png", "c.tiff", ".hidden.gif"):
            (self.work / "sets" / "1_cat" / name).write_bytes(b"")
        text = told("--train_data_dir", "sets", expect=0)
        self.assertIn("Hint: there is 'sets/1_cat/a.txt': set caption_extension to .txt", text)
        self.assertIn("files that are not read", text)
        for name, is_told in (("b.Png", True), ("c.tiff", True), (".hidden.gif", False)):
            self.assertEqual(name in text, is_told, name)
        # A description file: images one folder too deep, and a folder that is looked for in another place.
        (self.work / "deep.toml").write_text('''[[datasets]]
resolution = 64
[[datasets.subsets]]
image_dir = "sets"
[[datasets.subsets]]
image_dir = "elsewhere"
''')
        text = told("deep.toml", expect=1)
        self.assertIn("such as 'sets/1_cat', are not read", text)
        self.assertIn(f"'elsewhere' is not a folder below '{self.work}'", text)
        (self.work / "windows.toml").write_text('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "C:\\Users\\me"\n')
        self.assertIn("paths with / or in single quotes", told("windows.toml", expect=3))
        (self.work / "list.json").write_text('{"sets/1_cat/a": {"caption": "a cat"}}')
        self.assertIn("image 'sets/1_cat/a': got no file", told("--in_json", "list.json", "--train_data_dir", "."))
        self.assertIn("[--train_data_dir] image folder: got none", told("--in_json", "list.json", expect=2))

    def test_wrong_usage_and_wrong_descriptions_end_with_2(self):
        self.assertIn("expected one", run(["dataset", "a.toml", "b.toml"], expect=2))
        (self.work / "data.toml").write_text("[[datasets]]\nresolutoin = 64\n")
        self.assertIn("resolution", run(["dataset", self.work / "data.toml"], expect=2))
        self.assertIn("resoluton", run(["dataset", "--resoluton", "64"], expect=2))

    def test_settings_that_do_not_go_with_the_data_are_problems(self):
        photo_dataset(self.work / "data.toml", images=self.images, extra="color_aug = true\n")
        run(["dataset", self.work / "data.toml"])
        text = run(["dataset", self.work / "data.toml", "--cache_latents"], expect=1)
        self.assertIn("color_aug", text[text.index("PROBLEM"):])

    def test_stale_caches_are_named(self):
        model = make_checkpoint(self.work / "model")
        data = ["--dataset_config", self.work / "data.toml"]
        run(["cache", *model, *data])
        run(["dataset", self.work / "data.toml"])
        self.pictures[0].with_suffix(".txt").write_text("another caption")
        text = run(["dataset", self.work / "data.toml"], expect=1)
        problems = text[text.index("PROBLEM"):text.index("note: ")]
        self.assertIn(self.pictures[0].stem + "_sd3_te.npz", problems)
        self.assertNotIn(self.pictures[1].stem, problems)

    @unittest.skipIf(browser.CHROMIUM is None, "no Chromium is installed")
    def test_the_page_works_in_a_browser(self):
        self.break_some()
        page = self.work / "page.html"
        run(["dataset", self.work / "data.toml", "--html", page, "--images_per_bucket", "2"], expect=1)
        html = page.read_text()
        self.assertEqual(re.findall(r"(?:src|href)=\"(?!data:)[^\"]*", html), [])
        found = browser.probe(page, self.work)
        self.assertGreaterEqual(found["images"], 4)
        self.assertEqual((found["broken"], found["distorted"]), (0, 0))
        self.assertEqual(found["charts"], 4)
        self.assertGreater(found["bars"], 5)
        self.assertEqual(found["problems"], 4)
        self.assertEqual(found["requests"], [])
        self.assertLessEqual(found["overflow"], 0)
        for title in ("Problems and notes", "Subsets", "Buckets", "Aspect ratios", "Most frequent tags"):
            self.assertIn(title, found["sections"])
        # To look at it: LORAPTOR_SCREENSHOT=/tmp/page.png
        picture = pathlib.Path(os.environ.get("LORAPTOR_SCREENSHOT") or self.work / "page.png")
        self.assertEqual(browser.screenshot(page, picture, self.work), (1200, 2600))


class DebugDataset(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self.scratch.name)

    def tearDown(self):
        self.scratch.cleanup()

    def test_it_prints_the_batches_that_training_takes_and_needs_no_model(self):
        data = photo_dataset(self.work / "data.toml", repeats=2, extra="shuffle_caption = true\nflip_aug = true\n")
        text = run([*data, "--debug_dataset", "--seed", "5", "--max_train_epochs", "1"])
        batches = re.findall(r"^epoch 1, step (\d+), batch (\d+) of (\d+): bucket (\d+)x(\d+), (\d+) images", text, re.M)
        self.assertEqual([int(b[1]) for b in batches], list(range(1, int(batches[0][2]) + 1)))
        pictures = [p.stem for p in IMAGES.iterdir() if p.suffix not in (".txt", ".npz")]
        for name in pictures:
            self.assertEqual(len(re.findall(rf"^  \S*/{re.escape(name)}\.\w+: ", text, re.M)), 2, name)
        self.assertEqual(sum(int(b[5]) for b in batches), 2 * len(pictures))
        self.assertIn("mirrored", text)
        for ids in re.findall(r"clip_l: \d+ tokens[^:]*: ([\d ]+)", text):
            self.assertTrue(ids.startswith("49406 ") and ids.split()[-1] == "49407", ids)
        self.assertEqual(len(re.findall(r"^    t5xxl: ", text, re.M)), 2 * len(pictures))
        self.assertEqual(text.count("cut "), 2 * len(pictures))
        # Not more batches than the run takes.
        text = run([*data, "--debug_dataset", "--seed", "5", "--max_train_steps", "2", "--gradient_accumulation_steps", "2"])
        self.assertEqual(re.findall(r"^epoch 1, step (\d+), batch (\d+)", text, re.M),
                         [("1", "1"), ("1", "2"), ("2", "3"), ("2", "4")])

    def test_the_end_of_an_epoch_tells_how_long_it_waited_for_data(self):
        data = photo_dataset(self.work / "data.toml")
        text = run(make_checkpoint(self.work / "model") + data +
                   ["--network_module", "networks.lora", "--network_train_unet_only", "--learning_rate", "1e-3", "--seed", "1",
                    "--max_train_epochs", "1", "--output_dir", self.work, "--log_json", self.work / "log.jsonl"])
        share = float(re.search(r"epoch 1/1 ends: average loss \S+, \S+ in steps, (\S+) % of it waiting for data", text)[1])
        lines = read_log(self.work / "log.jsonl")
        self.assertGreater(sum(line["data_seconds"] for line in lines), 0)
        expected = 100 * sum(line["data_seconds"] for line in lines) / sum(line["seconds"] for line in lines)
        self.assertAlmostEqual(share, expected, delta=0.06)


if __name__ == "__main__":
    unittest.main()
