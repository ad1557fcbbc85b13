"""What a run writes beside the LoRA: encoders with the LoRA merged, options for TensorBoard; and what memory options do."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from support import ROOT, make_checkpoint, photo_dataset, read_log, read_safetensors, require_peer, run, run_peer


def product(tensors, module):
    down, up = tensors[module + ".lora_down.weight"], tensors[module + ".lora_up.weight"]
    return float(tensors[module + ".alpha"]) / down.shape[0] * up @ down


class Outputs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = work = pathlib.Path(cls.scratch.name)
        cls.model = make_checkpoint(work / "model")
        cls.base = photo_dataset(work / "data.toml") + ["--learning_rate", "1e-2", "--seed", "3", "--output_name", "lora",
                                                        "--max_train_steps", "2"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_encoders_are_saved_with_the_lora_merged(self):
        out = self.work / "clip"
        run(self.model + self.base + ["--output_dir", out, "--save_clip", "--save_t5xxl"])
        lora = read_safetensors(out / "lora.safetensors")
        for part, prefix, layer in (("clip_l", "lora_te1_", "text_model.encoder.layers.0.mlp.fc1"),
                                    ("clip_g", "lora_te2_", "text_model.encoder.layers.1.self_attn.q_proj")):
            before, after = (read_safetensors(path) for path in (self.work / f"model/{part}.safetensors",
                                                                 out / f"lora_{part}.safetensors"))
            self.assertEqual(sorted(before), sorted(after))
            change = product(lora, prefix + layer.replace(".", "_"))
            self.assertGreater(np.abs(change).max(), 1e-4)
            np.testing.assert_allclose(after[layer + ".weight"], before[layer + ".weight"] + change, atol=1e-6)
            name = "text_model.embeddings.token_embedding.weight"
            self.assertTrue((before[name] == after[name]).all())
        # T5 was not trained: it is saved as it is.
        before, after = (read_safetensors(path) for path in (self.work / "model/t5xxl.safetensors", out / "lora_t5xxl.safetensors"))
        self.assertTrue(all((before[name] == after[name]).all() for name in before))

    def test_encoders_of_one_file_keep_their_names_there(self):
        subprocess.run([sys.executable, str(ROOT / "tests/golden/make_checkpoint.py"), "tiny_sd35m", str(self.work / "single"),
                        "--single-file"], check=True)
        single = self.work / "single/model.safetensors"
        out = self.work / "one_file"
        run(["--pretrained_model_name_or_path", single, *self.base, "--output_dir", out, "--save_clip"])
        whole = read_safetensors(single)
        for part in ("clip_l", "clip_g"):
            saved = read_safetensors(out / f"lora_{part}.safetensors")
            self.assertEqual(sorted(saved), sorted(name for name in whole if name.startswith(f"text_encoders.{part}.")))
            self.assertTrue(any((saved[name] != whole[name]).any() for name in saved))

    def test_options_are_logged_without_places(self):
        logs = self.work / "logs"
        run(self.model + self.base + ["--output_dir", self.work / "o", "--network_train_unet_only", "--logging_dir", logs,
                                      "--log_config"])
        (path,) = logs.glob("*/network_train/*/hparams.yml")
        lines = path.read_text().splitlines()
        for line in ("learning_rate: 0.01", "seed: 3", "network_train_unet_only: true", "output_name: \"lora\"",
                     "network_dim: null"):
            self.assertIn(line, lines)
        self.assertNotIn(str(self.work), path.read_text())
        (events,) = path.parent.glob("events.out.tfevents.*")
        self.assertIn(b"_hparams_/session_start_info", events.read_bytes())
        self.assertIn("--log_config has no effect without --logging_dir",
                      run(self.model + self.base + ["--output_dir", self.work / "o", "--network_train_unet_only", "--log_config"]))

    def test_the_real_tensorboard_reads_the_log(self):
        require_peer(self, "tensorboard")
        logs, log = self.work / "tb", self.work / "tb.jsonl"
        run(self.model + self.base + ["--output_dir", self.work / "o", "--network_train_unet_only", "--logging_dir", logs,
                                      "--log_config", "--log_json", log])
        read = json.loads(run_peer("tensorboard_read.py", logs))
        lines = read_log(log)
        for tag, key in (("loss/current", "loss"), ("loss/average", "average"), ("grad_norm", "grad_norm")):
            self.assertEqual([step for step, _ in read["scalars"][tag]], [line["step"] for line in lines])
            np.testing.assert_allclose([value for _, value in read["scalars"][tag]], [line[key] for line in lines], rtol=1e-6)
        self.assertTrue({"lr/unet", "loss/epoch_average", "images_per_second"} <= set(read["scalars"]))
        self.assertEqual((read["hparams"]["learning_rate"], read["hparams"]["seed"]), (0.01, 3))

    def test_swapping_blocks_is_of_no_use_on_the_cpu(self):
        out = run(self.model + self.base + ["--output_dir", self.work / "s", "--network_train_unet_only", "--device", "cpu",
                                            "--blocks_to_swap", "2"])
        self.assertIn("--blocks_to_swap 2 has no use", out)

    def test_blocks_that_the_model_does_not_have_are_told_before_it_is_read(self):
        words = self.model + self.base + ["--output_dir", self.work / "s", "--network_train_unet_only"]
        told = "[--blocks_to_swap] blocks: got 3, expected at most 2 for this model of 4"
        self.assertIn(told, run(words + ["--blocks_to_swap", "3"], expect=2))
        out = run(words + ["--network_args", "train_block_indices=3-5"])
        self.assertLess(out.index("train_block_indices: got 4, 5, expected 0 to 3"), out.index("info model: "))

    def test_skip_layer_guidance_changes_the_image(self):
        images = []
        for words in ([], ["--slg_scale", "2.5", "--slg_layers", "1,2", "--slg_end", "0.9"]):
            folder = self.work / f"images{len(images)}"
            run(["generate", *self.model, "--prompt", "a cat --w 64 --h 64 --s 3 --d 7", "--outdir", folder, *words])
            (path,) = folder.iterdir()
            images.append(path.read_bytes())
        self.assertNotEqual(images[0], images[1])
        out = run(["generate", *self.model, "--prompt", "a cat --w 64 --h 64 --s 3 --slg_scale 2 --slg_layers 4", "--outdir",
                   self.work / "x"], expect=2)
        self.assertIn("0 to 3", out)


if __name__ == "__main__":
    unittest.main()
