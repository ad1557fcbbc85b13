"""The commands around training, run as a user does: inspect, convert, merge, extract, resize, generate."""
import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

import numpy as np

from support import PROGRAM, ROOT, make_checkpoint, photo_dataset, read_metadata, read_safetensors, require_peer, run, run_peer

QKV = "lora_unet_joint_blocks_0_x_block_attn_qkv"


def read_png(path):
    """Pixels [H,W,3] of an 8-bit RGB file."""
    data = pathlib.Path(path).read_bytes()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[at + 8:at + 16])
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    out = np.zeros((height + 1, width + 1, 3), int)  # a border of zeros above and to the left
    for y, row in enumerate(rows, 1):
        values = row[1:].reshape(width, 3).astype(int)
        for x in range(1, width + 1):
            left, up, corner = out[y, x - 1], out[y - 1, x], out[y - 1, x - 1]
            guess = left + up - corner
            a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
            paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
            predicted = (0, left, up, (left + up) // 2, paeth)[row[0]]
            out[y, x] = (values[x - 1] + predicted) % 256
    return out[1:, 1:]


def product(tensors, module):
    down, up = tensors[module + ".lora_down.weight"], tensors[module + ".lora_up.weight"]
    scale = float(tensors[module + ".alpha"]) / down.shape[0]
    return scale * up.reshape(up.shape[0], -1) @ down.reshape(down.shape[0], -1)


def modules_of(tensors):
    return sorted(name[:-len(".alpha")] for name in tensors if name.endswith(".alpha"))


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = work = pathlib.Path(cls.scratch.name)
        cls.model = make_checkpoint(work / "model")
        subprocess.run([sys.executable, str(ROOT / "tests/golden/make_checkpoint.py"), "tiny_sd35m", str(work / "single"),
                        "--single-file"], check=True)
        cls.single = work / "single/model.safetensors"
        cls.prompts = work / "prompts.txt"
        cls.prompts.write_text("a cat --w 64 --h 96 --s 3 --d 7 --l 4 --n blurry\n")
        train = cls.model + photo_dataset(work / "data.toml") + ["--network_module", "networks.lora", "--learning_rate", "2e-2",
                                                                "--output_dir", work / "out", "--max_train_steps", "2"]
        run(train + ["--output_name", "a", "--seed", "3", "--network_dim", "4", "--network_alpha", "2",
                     "--sample_prompts", cls.prompts, "--sample_every_n_steps", "2"])
        run(train + ["--output_name", "b", "--seed", "4", "--network_dim", "3", "--network_train_unet_only"])
        cls.a, cls.b = work / "out/a.safetensors", work / "out/b.safetensors"

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def generate(self, name, words):
        out = self.work / name
        run(["generate", "--from_file", self.prompts, "--outdir", out, *words])
        (path,) = out.iterdir()
        self.assertTrue(path.name.startswith("im_") and path.name.endswith("_000_7.png"), path.name)
        return path

    def test_each_command_has_help_and_refuses_what_it_does_not_know(self):
        for command in ("generate", "merge", "extract", "resize", "convert", "inspect"):
            text = run([command, "--help"])
            self.assertIn(f"usage: loraptor {command}", text)
            out = run([command, "--lerning_rate", "1"], expect=2)
            self.assertIn("unknown option", out)
            self.assertIn(f"loraptor {command} --help", out)
            self.assertIn(f"loraptor {command}", run(["--help"]))
            self.assertIn(f"`loraptor {command}", (ROOT / "docs/commands.md").read_text())

    def test_inspect_tells_about_loras_and_checkpoints(self):
        text = run(["inspect", self.a, self.single])
        self.assertIn("as stored", text)
        self.assertIn("x_block_attn2_qkv", text)
        self.assertIn("SD3.5 Medium: 4 blocks of width 256", text)
        lora, checkpoint = json.loads(run(["inspect", "--json", self.a, self.single]))
        self.assertEqual([part["part"] for part in lora["parts"]], ["mmdit", "clip_l", "clip_g"])
        self.assertEqual(lora["base_model"]["by_metadata"], "5-medium")
        self.assertTrue(lora["hashes"]["sshs_model_hash"]["match"] and lora["hashes"]["sshs_legacy_hash"]["match"])
        self.assertEqual([part["part"] for part in checkpoint["parts"]], ["mmdit", "vae", "clip_l", "clip_g", "t5xxl"])
        self.assertEqual(checkpoint["other"]["tensors"], 0)
        run(["inspect", self.work / "nothing"], expect=3)

    def test_convert_there_and_back(self):
        there, back = self.work / "there.safetensors", self.work / "back.safetensors"
        run(["convert", self.a, there])
        self.assertIn("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", read_safetensors(there))
        run(["convert", there, back])
        original, again = read_safetensors(self.a), read_safetensors(back)
        self.assertEqual(sorted(original), sorted(again))
        for module in modules_of(original):
            np.testing.assert_allclose(product(again, module), product(original, module), rtol=1e-5, atol=1e-8)
        self.assertEqual(read_metadata(back)["ss_base_model_version"], "5-medium")
        (report,) = json.loads(run(["inspect", "--json", there]))
        self.assertEqual(report["format"], "diffusers")
        self.assertTrue(report["hashes"]["sshs_model_hash"]["match"])

    def test_the_same_seed_gives_the_picture_of_the_training_sample(self):
        (sample,) = (self.work / "out/sample").glob("a_000002_00_*_7.png")
        path = self.generate("as_trained", self.model + ["--network_weights", self.a])
        difference = np.abs(read_png(path) - read_png(sample))
        self.assertLessEqual(difference.max(), 1)
        self.assertLess(np.mean(difference > 0), 0.005)

    def test_images_of_a_merged_checkpoint_equal_those_with_the_lora(self):
        merged = self.work / "merged.safetensors"
        single = ["--pretrained_model_name_or_path", self.single]
        run(["merge", "--sd3_checkpoint", self.single, "--models", self.a, self.b, "--ratios", "0.8", "-0.5", "--save_to", merged])
        base = read_png(self.generate("base", single))
        with_lora = read_png(self.generate("lora", single + ["--network_weights", self.a, self.b, "--network_mul", "0.8", "-0.5"]))
        from_merged = read_png(self.generate("merged", ["--pretrained_model_name_or_path", merged]))
        self.assertGreater(np.abs(base - with_lora).max(), 2, "the LoRA should show")
        self.assertLessEqual(np.abs(from_merged - with_lora).max(), 1)
        self.assertIn("merged_from", "".join(read_metadata(merged)))

    def test_text_encoder_files_are_merged_too(self):
        clip = self.work / "model/clip_l.safetensors"
        run(["merge", "--clip_l", clip, "--clip_l_save_to", self.work / "clip_l.safetensors", "--models", self.a])
        before, after = read_safetensors(clip), read_safetensors(self.work / "clip_l.safetensors")
        layer = "text_model.encoder.layers.0.mlp.fc1"
        change = product(read_safetensors(self.a), "lora_te1_" + layer.replace(".", "_"))
        np.testing.assert_allclose(after[layer + ".weight"], before[layer + ".weight"] + change, atol=1e-6)

    def test_several_loras_become_one(self):
        for words, tolerance in (([], 1e-6), (["--shuffle"], 1e-6), (["--new_rank", "7"], 1e-5)):
            one = self.work / "one.safetensors"
            run(["merge", "--models", self.a, self.b, "--ratios", "1", "0.5", "--save_to", one, *words])
            a, b, both = read_safetensors(self.a), read_safetensors(self.b), read_safetensors(one)
            self.assertEqual(both[QKV + ".lora_down.weight"].shape[0], 7)
            want = product(a, QKV) + 0.5 * product(b, QKV)
            np.testing.assert_allclose(product(both, QKV), want, atol=tolerance * np.abs(want).max() * 10)
        self.assertEqual(read_metadata(one)["modelspec.merged_from"], "a, b")

    def test_extract_finds_the_lora_that_was_merged(self):
        tuned, found = self.work / "tuned.safetensors", self.work / "found.safetensors"
        run(["merge", "--sd3_checkpoint", self.single, "--models", self.a, "--save_to", tuned])
        run(["extract", "--model_org", self.single, "--model_tuned", tuned, "--save_to", found, "--dim", "4"])
        a, b = read_safetensors(self.a), read_safetensors(found)
        self.assertEqual(modules_of(a), modules_of(b))
        for module in modules_of(a):
            want = product(a, module)
            self.assertLess(np.linalg.norm(product(b, module) - want), 1e-3 * np.linalg.norm(want) + 1e-6, module)
        self.assertEqual(read_metadata(found)["ss_base_model_version"], "5-medium")

    def test_resize_keeps_the_nearest_products(self):
        small = self.work / "small.safetensors"
        text = run(["resize", "--model", self.a, "--save_to", small, "--new_rank", "2", "--verbose"])
        self.assertIn("rank 4 -> 2", text)
        a, b = read_safetensors(self.a), read_safetensors(small)
        for module in (QKV, "lora_te2_text_model_encoder_layers_1_mlp_fc1"):
            u, s, v = np.linalg.svd(product(a, module), full_matrices=False)
            np.testing.assert_allclose(product(b, module), (u[:, :2] * s[:2]) @ v[:2], atol=1e-5 * s[0])
        self.assertIn("resized from 4 to 2", read_metadata(small)["ss_training_comment"])
        run(["resize", "--model", self.a, "--save_to", small, "--new_rank", "4", "--dynamic_method", "sv_fro", "--dynamic_param", "0.9"])
        self.assertEqual(read_metadata(small)["ss_network_dim"], "Dynamic")

    def test_generate_takes_prompts_from_the_command_line(self):
        out = self.work / "line"
        run(["generate", *self.model, "--prompt", "a cat --n ugly", "a dog", "--width", "64", "--height", "64", "--steps", "1",
             "--seed", "5", "--images_per_prompt", "2", "--outdir", out])
        self.assertEqual([p.name.split("_", 2)[2] for p in sorted(out.iterdir())],
                         ["000_5.png", "001_6.png", "002_5.png", "003_6.png"])

    def test_mistakes_are_named(self):
        self.assertIn("--ratios", run(["merge", "--models", self.a, "--ratios", "1", "2", "--save_to", "x"], expect=2))
        self.assertIn("expected another", run(["merge", "--sd3_checkpoint", self.single, "--models", self.a, "--save_to",
                                               self.single], expect=2))
        self.assertIn("--clip_l_save_to", run(["merge", "--clip_l", "x", "--models", self.a], expect=2))
        self.assertIn("--from_file", run(["generate", *self.model], expect=2))
        self.assertIn("--dynamic_param", run(["resize", "--model", self.a, "--save_to", "x", "--dynamic_method", "sv_fro"], expect=2))
        self.assertIn("got none", run(["convert", self.single, "x"], expect=3))
        for wrong in ("nan", "inf"):
            self.assertIn("--ratios", run(["merge", "--models", self.a, "--ratios", wrong, "--save_to", "x"], expect=2))

    def test_no_command_writes_over_its_inputs(self):
        clip, new = self.work / "model/clip_l.safetensors", self.work / "new.safetensors"
        link = self.work / "link.safetensors"
        link.symlink_to(self.a)
        into = ["merge", "--sd3_checkpoint", self.single, "--models", self.a]
        cases = [("--model_tuned", ["extract", "--model_org", self.single, "--model_tuned", self.b, "--save_to", self.b]),
                 ("--model_org", ["extract", "--model_org", self.single, "--model_tuned", self.b, "--save_to", self.single]),
                 ("--models", [*into, "--save_to", self.a]),
                 ("--models", ["merge", "--models", self.b, self.a, "--save_to", link]),
                 ("--clip_l", [*into, "--clip_l", clip, "--clip_l_save_to", new, "--save_to", clip]),
                 ("--save_to", [*into, "--clip_l", clip, "--clip_l_save_to", new, "--save_to", new]),
                 ("--model", ["resize", "--model", self.a, "--save_to", self.a]),
                 ("IN", ["convert", self.a, link])]
        before = self.a.read_bytes()
        for flag, words in cases:
            self.assertIn(f"as {flag}, expected another file", run(words, expect=2))
        self.assertEqual(self.a.read_bytes(), before)
        self.assertFalse(new.exists())

    def test_an_interrupted_merge_leaves_no_file(self):
        folder = self.work / "interrupted"
        folder.mkdir()
        words = [str(PROGRAM), "merge", "--sd3_checkpoint", self.single, "--models", self.a, "--save_to", folder / "out"]
        for number in (signal.SIGINT, signal.SIGTERM):
            for _ in range(5):  # it may be done before the signal comes
                with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
                    while process.poll() is None and not any(folder.iterdir()):
                        time.sleep(0.0005)
                    process.send_signal(number)
                    text = process.communicate()[1]
                self.assertEqual([path.name for path in folder.iterdir() if path.name != "out"], [], text)
                (folder / "out").unlink(missing_ok=True)
                if process.returncode != 0:
                    break
            self.assertEqual(process.returncode, 128 + number, text)
            self.assertIn("was not written", text)


class RealPeft(unittest.TestCase):
    """Adapters of the real PEFT have the products that PEFT computes, however they are read."""

    def test_strengths_are_those_of_peft(self):
        require_peer(self, "peft")
        for settings in ({}, {"use_rslora": True}, {"rank_pattern": {"ff.net.2": 8}}, {"alpha_pattern": {"to_q": 2, "net.2": 1}},
                         {"rank_pattern": {"to_k": 2, "attn.*": 3}, "alpha_pattern": {"attn.to_[qv]": 5}, "use_rslora": True}):
            with self.subTest(settings), tempfile.TemporaryDirectory() as scratch:
                work = pathlib.Path(scratch)
                run_peer("peft_adapter.py", work, json.dumps(settings))
                deltas = read_safetensors(work / "deltas.safetensors")
                block = "lora_unet_joint_blocks_0_x_block_"
                want = {block + "attn_qkv": np.concatenate([deltas[f"attn.to_{part}"] for part in "qkv"]),
                        block + "attn_proj": deltas["attn.to_out.0"], block + "mlp_fc2": deltas["ff.net.2"]}
                adapter = work / "adapter_model.safetensors"
                run(["convert", adapter, work / "converted"])
                run(["merge", "--models", adapter, "--save_to", work / "merged"])
                run(["resize", "--model", adapter, "--new_rank", "99", "--save_to", work / "resized"])
                for name in ("converted", "merged", "resized"):
                    tensors = read_safetensors(work / name)
                    self.assertEqual(modules_of(tensors), sorted(want))
                    for module, delta in want.items():
                        np.testing.assert_allclose(product(tensors, module), delta, rtol=1e-4, atol=1e-5, err_msg=name)

    def test_what_is_more_than_pairs_is_refused(self):
        require_peer(self, "peft")
        for settings, reason in (({"use_dora": True}, "DoRA"), ({"bias": "all"}, "bias"), ({"lora_bias": True}, "bias")):
            with self.subTest(settings), tempfile.TemporaryDirectory() as scratch:
                run_peer("peft_adapter.py", scratch, json.dumps(settings))
                adapter, new = pathlib.Path(scratch) / "adapter_model.safetensors", pathlib.Path(scratch) / "new"
                for words in (["convert", adapter, new], ["merge", "--models", adapter, "--save_to", new], ["inspect", adapter],
                              ["resize", "--model", adapter, "--save_to", new]):
                    self.assertIn(reason, run(words, expect=3))
                self.assertFalse(new.exists())


class RealDiffusers(unittest.TestCase):
    """A converted LoRA in the real diffusers and PEFT equals the checkpoint that the LoRA was merged into."""

    def test_a_converted_lora_equals_the_merged_checkpoint(self):
        require_peer(self, "diffusers, peft")
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            model = make_checkpoint(work / "model")
            run(model + photo_dataset(work / "data.toml") + [
                "--network_module", "networks.lora", "--network_train_unet_only", "--learning_rate", "2e-2", "--network_alpha", "3",
                "--output_dir", work, "--output_name", "lora", "--max_train_steps", "2", "--network_args",
                "emb_dims=[4,4,0,4,4,4]"])
            run(["convert", work / "lora.safetensors", work / "diffusers.safetensors"])
            run(["merge", "--sd3_checkpoint", work / "model/mmdit_vae.safetensors", "--models", work / "lora.safetensors",
                 "--save_to", work / "merged.safetensors"])
            out = run_peer("diffusers_lora.py", work)
            without, error = map(float, out.split()[-2:])
            self.assertGreater(without, 1e-2, "the LoRA should show")
            self.assertLess(error, 1e-4)


if __name__ == "__main__":
    assert PROGRAM.exists(), PROGRAM
    unittest.main()
