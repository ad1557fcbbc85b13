"""Optimizers and network kinds: stopped and resumed equals never stopped; merged equals attached; narrow types."""
import concurrent.futures
import pathlib
import re
import shutil
import tempfile
import unittest

import numpy as np

from commands_test import read_png
from support import IMAGES, make_checkpoint, photo_dataset, read_computed, read_safetensors, require_peer, run, run_peer

KINDS = {"lora": [], "split": ["split_qkv=True"], "loha": ["algo=loha"], "lokr": ["algo=lokr", "factor=4"],
         "dora": ["dora_wd=True"], "lokr_dora": ["algo=lokr", "dora_wd=True", "wd_on_output=False"]}
ESTIMATE_THEIR_STEP = ("Prodigy", "DAdapt", "prodigyplus")


def side_by_side(work, items):
    """Calls work(item) for each, two at a time; each run has one thread."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(items, pool.map(work, items)))


def optimizer_names():
    """All that the program knows, as it says itself."""
    text = run(["--optimizer_type", "none of them"], expect=2)
    return re.search(r"unknown optimizer: .* expected one of (.*)\.$", text, re.MULTILINE)[1].split(", ")


def network(kind):
    return ["--network_module", "lycoris.kohya", *(["--network_args", *KINDS[kind]] if KINDS[kind] else [])]


class Kinds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        # Caches on disk beside copies of the images, and short texts: there are many runs.
        shutil.copytree(IMAGES, cls.work / "images")
        cls.base = make_checkpoint(cls.work / "model") + photo_dataset(cls.work / "data.toml", repeats=2, images=cls.work / "images") + [
            "--network_train_unet_only", "--seed", "5", "--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk",
            "--t5xxl_max_token_length", "8", "--device", "cpu", "--cpu_threads", "1", "--output_name", "r"]
        run(["cache", *cls.base])

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def train(self, name, extra, steps=3):
        log = self.work / f"{name}.jsonl"
        run(self.base + ["--output_dir", self.work / name, "--log_json", log, "--max_train_steps", steps, *extra])
        return read_computed(log)

    def expect_exact_resume(self, name, extra):
        # Five micro-steps an epoch or more, groups of two: the stop lies inside an epoch.
        extra = extra + ["--gradient_accumulation_steps", "2", "--save_every_n_steps", "2", "--save_state"]
        whole = self.train(name, extra)
        rest = self.train(name + "_rest", extra + ["--resume", self.work / name / "r-step00000002-state"])
        self.assertEqual(whole[2:], rest)
        for file in ("r.safetensors", "r-state/optimizer.safetensors"):
            want, got = read_safetensors(self.work / name / file), read_safetensors(self.work / (name + "_rest") / file)
            self.assertEqual(set(want), set(got))
            for key in want:
                self.assertTrue((want[key] == got[key]).all(), f"{file}: {key}")

    def expect_all_resume(self, runs):
        """runs   name -> words"""
        for name, error in side_by_side(lambda name: self.try_resume(name, runs[name]), list(runs)).items():
            with self.subTest(name):
                if error:
                    raise error

    def try_resume(self, name, words):
        try:
            self.expect_exact_resume(name, words)
        except Exception as error:  # told in its subtest
            return error

    def test_every_network_kind_resumes_exactly_and_is_merged_exactly(self):
        self.expect_all_resume({f"kind_{kind}": network(kind) + ["--learning_rate", "0.01"] for kind in KINDS})
        names = [key.rsplit(".", 1)[1] for key in read_safetensors(self.work / "kind_loha/r.safetensors")]
        self.assertEqual(set(names), {"alpha", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
        # What is merged acts like what is attached.
        rest = ["--unet_lr", "1e-12"]
        plain = self.train("plain", rest + ["--network_dim", "1"], steps=1)

        def both(kind):
            file = self.work / f"kind_{kind}/r.safetensors"
            return (self.train(f"merged_{kind}", rest + ["--network_dim", "1", "--base_weights", file], steps=1),
                    self.train(f"attached_{kind}", rest + network(kind) + ["--network_weights", file], steps=1))

        for kind, (merged, attached) in side_by_side(both, list(KINDS)).items():
            with self.subTest(kind=kind):
                for a, b, c in zip(merged, attached, plain):
                    self.assertLess(abs(a["loss"] - b["loss"]) / b["loss"], 2e-5)
                    self.assertGreater(abs(a["loss"] - c["loss"]) / c["loss"], 1e-5)

    def test_every_optimizer_resumes_exactly(self):
        names = optimizer_names()
        self.assertGreater(len(names), 30)
        self.expect_all_resume({f"optimizer_{name}": ["--optimizer_type", name, "--learning_rate",
                                                      "1" if name.startswith(ESTIMATE_THEIR_STEP) else "0.005"]
                                for name in names})

    def test_sixteen_bit_weights_resume_exactly(self):
        self.expect_all_resume({f"full_{precision}": ["--mixed_precision", precision, f"--full_{precision}", "--learning_rate",
                                                      "0.005"] for precision in ("bf16", "fp16")})
        for precision, bits in (("bf16", 16), ("fp16", 13)):
            values = read_safetensors(self.work / f"full_{precision}/r-state/optimizer.safetensors")["network.values"]
            self.assertEqual(np.count_nonzero(values.astype(np.float32).view(np.uint32) & ((1 << bits) - 1)), 0)

    def test_images_with_a_lora_are_those_of_the_merged_checkpoint(self):
        folder, model = self.work / "images", self.base[:8]
        prompt = ["--prompt", "a cat --w 64 --h 64 --s 2 --d 7 --l 4"]
        kinds = ("loha", "lokr_dora")

        def image(name, words):
            run(["generate", *words, *model[2:], *prompt, "--cpu_threads", "1", "--outdir", folder / name])
            (path,) = (folder / name).iterdir()
            return read_png(path)

        plain = image("plain", model[:2])
        for kind in kinds:
            self.train(f"image_{kind}", network(kind) + ["--learning_rate", "0.02"])
            file, merged = self.work / f"image_{kind}/r.safetensors", self.work / f"image_{kind}/merged.safetensors"
            run(["merge", "--sd3_checkpoint", model[1], "--models", file, "--ratios", "0.8", "--save_to", merged])
            got = image(f"{kind}_merged", ["--pretrained_model_name_or_path", merged])
            want = image(f"{kind}_attached", [*model[:2], "--network_weights", file, "--network_mul", "0.8"])
            self.assertLessEqual(np.abs(got - want).max(), 1, kind)
            self.assertGreater(np.abs(want - plain).max(), 2, "the LoRA should show")

    def test_float8_stays_close_to_the_plain_run(self):
        plain = self.train("bf16", ["--mixed_precision", "bf16", "--learning_rate", "1e-3"])
        for flag in ("--fp8_base", "--fp8_base_unet"):
            narrow = self.train("fp8" + flag, ["--mixed_precision", "bf16", "--learning_rate", "1e-3", flag])
            for a, b in zip(plain, narrow):
                self.assertLess(abs(a["loss"] - b["loss"]) / a["loss"], 0.02)
            self.assertNotEqual(plain, narrow)

    def test_inputs_in_host_memory_change_nothing(self):
        self.assertEqual(self.train("checkpointing", ["--learning_rate", "1e-3", "--gradient_checkpointing"]),
                         self.train("offload", ["--learning_rate", "1e-3", "--cpu_offload_checkpointing"]))

    def test_a_start_in_the_middle(self):
        whole = self.train("start0", ["--learning_rate", "1e-3"], steps=4)
        later = self.train("start2", ["--learning_rate", "1e-3", "--initial_step", "2", "--skip_until_initial_step"], 4)
        self.assertEqual([line["step"] for line in later], [3, 4])
        # Nothing is learnt in the steps left out, but the same images and noise follow.
        self.assertAlmostEqual(later[0]["loss"], whole[2]["loss"], delta=0.02 * whole[2]["loss"])
        out = run(self.base + ["--output_dir", self.work / "x", "--max_train_steps", "4", "--initial_step", "4"], expect=2)
        self.assertIn("--initial_step", out)

    def test_step_sizes_reach_the_log(self):
        lines = self.train("prodigy", ["--optimizer_type", "Prodigy", "--learning_rate", "1"])
        self.assertAlmostEqual(lines[0]["extras"]["lr/d*lr/unet"], 1e-6, delta=1e-6)
        lines = self.train("adafactor", ["--optimizer_type", "Adafactor", "--learning_rate", "1e-4"])
        self.assertNotEqual(lines[0]["lr"]["unet"], 1e-4)


class RealBitsandbytes(unittest.TestCase):
    """The 8-bit states that AdamW8bit saves, read by bitsandbytes, are the nearest to those of AdamW after the same step."""

    def test_codes_are_the_nearest_of_the_table_of_bitsandbytes(self):
        require_peer(self, "bitsandbytes")
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            base = make_checkpoint(work / "model") + photo_dataset(work / "data.toml")
            names = ("AdamW", "AdamW8bit")
            for name in names:
                run(base + ["--network_train_unet_only", "--network_dim", "16", "--seed", "5", "--max_train_steps", "1", "--cpu_threads",
                            "1", "--save_state", "--optimizer_type", name, "--output_dir", work / name, "--output_name", "r"])
            out = run_peer("bitsandbytes_codes.py", *(work / name / "r-state/optimizer.safetensors" for name in names))
            count, different, excess = map(float, out.split())
            self.assertGreater(count, 100_000)
            self.assertGreater(different, 200)
            self.assertLess(excess, 1e-6)


class RealLycoris(unittest.TestCase):
    """What is merged equals what LyCORIS itself makes of the file."""

    def test_merged_weights_are_those_of_lycoris(self):
        require_peer(self, "lycoris")
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            base = make_checkpoint(work / "model") + photo_dataset(work / "data.toml")
            model = work / "model/mmdit_vae.safetensors"
            # Its loader takes DoRA on outputs only.
            kinds = {"loha": ["algo=loha"], "lokr": ["algo=lokr"], "dora": ["dora_wd=True"],
                     "lokr_dora": ["algo=lokr", "dora_wd=True"]}
            for kind, words in kinds.items():
                run(base + ["--network_module", "lycoris.kohya", "--network_args", *words, "--network_train_unet_only",
                            "--cache_latents", "--cache_text_encoder_outputs", "--learning_rate", "2e-2", "--max_train_steps",
                            "2", "--network_alpha", "3", "--output_dir", work, "--output_name", kind])
                run(["merge", "--sd3_checkpoint", model, "--models", work / f"{kind}.safetensors", "--ratios", "0.7",
                     "--save_to", work / f"{kind}_merged.safetensors"])
            out = run_peer("lycoris_merge.py", "0.7", model, *(work / kind for kind in kinds))
            for kind, line in zip(kinds, out.splitlines()[-len(kinds):]):
                with self.subTest(kind=kind):
                    count, change, error = map(float, line.split())
                    self.assertGreater(count, 30)
                    self.assertGreater(change, 1e-3, "the LoRA should show")
                    self.assertLess(error, 1e-4)


if __name__ == "__main__":
    unittest.main()
