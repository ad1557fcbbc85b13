"""Whole runs of the program: what comes out, what does not matter, what is refused."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from support import PROGRAM, ROOT, make_checkpoint, photo_dataset, read_log, read_metadata, read_safetensors, run


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        cls.model = make_checkpoint(cls.work / "model")
        cls.base = cls.model + photo_dataset(cls.work / "data.toml") + [
            "--network_module", "networks.lora", "--network_train_unet_only", "--learning_rate", "1e-3",
            "--seed", "3", "--output_name", "lora"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def losses(self, name, extra):
        log = self.work / f"{name}.jsonl"
        run(self.base + ["--output_dir", self.work / name, "--log_json", log, "--max_train_steps", "4", *extra])
        return [line["loss"] for line in read_log(log)]

    def test_threads_of_the_loader_do_not_change_the_draws(self):
        alone = self.losses("w0", ["--max_data_loader_n_workers", "0"])
        self.assertEqual(alone, self.losses("w1", ["--max_data_loader_n_workers", "1"]))
        self.assertEqual(alone, self.losses("w8", ["--max_data_loader_n_workers", "8"]))

    def test_threads_of_the_tensor_library_do_not_change_the_draws(self):
        one = self.losses("t1", ["--cpu_threads", "1"])
        for a, b in zip(one, self.losses("t2", ["--cpu_threads", "2"])):
            self.assertLess(abs(a - b) / a, 1e-5)

    def test_a_run_repeats_bit_for_bit(self):
        self.assertEqual(self.losses("a", []), self.losses("b", []))

    def test_sample_images_do_not_disturb_training(self):
        prompts = self.work / "prompts.txt"
        prompts.write_text("a cat --w 64 --h 96 --s 2 --d 7\n# comment\nred --w 64 --h 64 --s 1\n")
        with_images = self.losses("s", ["--sample_prompts", prompts, "--sample_every_n_steps", "2", "--sample_at_first"])
        self.assertEqual(with_images, self.losses("n", []))
        names = sorted(p.name for p in (self.work / "s/sample").iterdir())
        self.assertEqual(len(names), 6)
        self.assertTrue(names[0].startswith("lora_000002_00_") and names[0].endswith("_7.png"), names)
        self.assertTrue(names[-1].startswith("lora_e000000_01_"), names)

    def test_the_lora_file_is_complete(self):
        self.losses("f", ["--network_dim", "2", "--save_precision", "bf16", "--training_comment", "ein Töst"])
        path = self.work / "f/lora.safetensors"
        tensors = read_safetensors(path)
        name = "lora_unet_joint_blocks_0_x_block_attn_qkv"
        self.assertEqual(tensors[name + ".lora_down.weight"].shape, (2, 256))
        self.assertEqual(tensors[name + ".alpha"].shape, ())
        metadata = read_metadata(path)
        for key, value in {"ss_network_dim": "2", "ss_base_model_version": "5-medium", "ss_seed": "3", "ss_steps": "4",
                           "modelspec.architecture": "stable-diffusion-3-5-medium/lora", "ss_network_module": "networks.lora",
                           "ss_training_comment": "ein Töst", "ss_learning_rate": "0.001"}.items():
            self.assertEqual(metadata.get(key), value, key)
        self.assertEqual(len(metadata["sshs_model_hash"]), 64)
        self.assertEqual(json.loads(metadata["ss_datasets"])[0]["resolution"], [128, 128])

    def test_models_of_one_layer_train(self):
        shape = {"seed": "one layer", "mmdit": {"depth": 1, "qk_norm": True, "dual_blocks": [0], "pos_side": 32},
                 "clip_l": {"width": 128, "layers": 1}, "clip_g": {"width": 192, "layers": 1},
                 "t5xxl": {"width": 384, "layers": 1, "heads": 4, "ff": 512}, "vae": {"ch": 32}}
        description = self.work / "one_layer.json"
        description.write_text(json.dumps(shape))
        model = make_checkpoint(self.work / "one_layer", str(description))
        words = model + self.base[len(self.model):] + ["--output_dir", self.work / "one", "--max_train_steps", "1"]
        run(words)
        self.assertIn("at most 0", run(words + ["--blocks_to_swap", "1"], expect=2))

    def test_a_prompt_has_room_for_a_token_and_the_end(self):
        words = self.base + ["--output_dir", self.work / "short", "--max_train_steps", "1"]
        run(words + ["--t5xxl_max_token_length", "2"])
        self.assertIn("at least 2", run(words + ["--t5xxl_max_token_length", "1"], expect=2))
        self.assertIn("at least 2", run(["generate", *self.model, "--prompt", "a cat", "--outdir", self.work / "short",
                                         "--t5xxl_max_token_length", "1"], expect=2))

    def test_report_page_and_tensorboard_are_written(self):
        self.losses("h", ["--log_html", self.work / "report.html", "--logging_dir", self.work / "tb"])
        page = (self.work / "report.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("http://", page.replace("http://www.w3.org", ""))
        self.assertEqual(len(list((self.work / "tb").rglob("events.out.tfevents.*"))), 1)

    def test_mistakes_are_named_and_have_their_status(self):
        out = run(self.base + ["--output_dir", self.work / "x", "--lerning_rate", "1"], expect=2)
        self.assertIn("--learning_rate", out)
        out = run(["--pretrained_model_name_or_path", self.work / "no.safetensors", *self.base[2:], "--max_train_steps", "1",
                   "--output_dir", self.work / "x"], expect=3)
        self.assertIn("no.safetensors", out)
        broken = self.work / "broken.safetensors"
        broken.write_bytes((self.work / "model/clip_g.safetensors").read_bytes()[:5000])
        words = list(self.base)
        words[words.index("--clip_g") + 1] = str(broken)
        self.assertIn("broken.safetensors", run(words + ["--output_dir", self.work / "x"], expect=3))

    def test_a_folder_of_image_folders_trains_too(self):
        folder = self.work / "folders/2_cat"
        folder.mkdir(parents=True)
        source = ROOT / "tests/golden/trajectories/trajectory_1/images/chelsea.png"
        (folder / "a.png").write_bytes(source.read_bytes())
        run(self.model + ["--train_data_dir", self.work / "folders", "--resolution", "64,64", "--enable_bucket",
                          "--min_bucket_reso", "64", "--bucket_reso_steps", "32", "--network_module", "networks.lora_sd3",
                          "--network_train_unet_only", "--max_train_epochs", "1", "--output_dir", self.work / "o",
                          "--output_name", "lora", "--seed", "1"])
        metadata = read_metadata(self.work / "o/lora.safetensors")
        self.assertEqual(metadata["ss_steps"], "2")
        self.assertEqual(json.loads(metadata["ss_dataset_dirs"])["2_cat"], {"n_repeats": 2, "img_count": 1})

    def test_a_lora_that_was_merged_into_the_base_acts_like_one_that_is_attached(self):
        self.losses("first", ["--learning_rate", "0.01"])
        lora = self.work / "first/lora.safetensors"
        frozen = ["--unet_lr", "1e-12", "--network_dim", "1"]
        merged = self.losses("merged", frozen + ["--base_weights", lora])
        plain = self.losses("plain", frozen)
        attached = self.losses("attached", ["--unet_lr", "1e-12", "--network_weights", lora, "--dim_from_weights"])
        for a, b, c in zip(merged, attached, plain):
            self.assertLess(abs(a - b) / b, 1e-5)
            self.assertGreater(abs(a - c) / c, 1e-5)

    def test_dropout_inside_t5_comes_with_the_reference_s_behaviour_or_when_asked_for(self):
        base = [word for word in self.base if word != "--network_train_unet_only"]

        def losses(name, *words):
            log = self.work / f"{name}.jsonl"
            run(base + ["--output_dir", self.work / name, "--log_json", log, "--max_train_steps", "2", *words])
            return [line["loss"] for line in read_log(log)]

        checkpointing, compat = "--gradient_checkpointing", ("--kohya_compat", "t5_dropout")
        plain = losses("plain")
        self.assertEqual(losses("compat alone", *compat), plain)
        with_dropout = losses("compat", checkpointing, *compat)
        self.assertNotEqual(with_dropout, losses("checkpointing", checkpointing))
        self.assertEqual(with_dropout, losses("compat again", checkpointing, *compat))
        frozen = (checkpointing, "--network_train_unet_only")
        self.assertNotEqual(losses("frozen compat", *frozen, *compat), losses("frozen", *frozen))
        trained = ("--network_args", "train_t5xxl=True")
        self.assertNotEqual(losses("asked", *trained, "--t5_internal_dropout", "0.3"), losses("trained", *trained))

    def test_steps_in_which_module_dropout_leaves_out_all_modules_train_on(self):
        none = [f"{part}_dim=0" for part in ("context_attn", "context_mlp", "context_mod", "x_mlp", "x_mod")]
        arguments = ["--network_args", "module_dropout=0.9", "x_attn_dim=4", "train_block_indices=0", *none]
        for name, *words in (["plain"], ["checkpointing", "--gradient_checkpointing"],
                             ["accumulation", "--gradient_accumulation_steps", "2"], ["processes", "--num_processes", "2"]):
            log = self.work / f"dropped {name}.jsonl"
            run(self.base + arguments + words + ["--output_dir", self.work / f"dropped {name}", "--log_json", log,
                                                 "--max_train_steps", "8"])
            norms = [line["grad_norm"] for line in read_log(log)]
            self.assertEqual(len(norms), 8, name)
            self.assertIn(0, norms, name)
            self.assertGreater(max(norms), 0, name)

    def test_settings_without_effect_are_told(self):
        out = run(self.base + ["--output_dir", self.work / "told", "--max_train_steps", "1", "--masked_loss", "--xformers",
                               "--network_args", "context_atn_dim=2"])
        for text in ("--masked_loss has no effect", "--xformers has no effect", "unknown key context_atn_dim"):
            self.assertEqual(out.count(text), 1, out)
        out = run(self.base + ["--output_dir", self.work / "told", "--max_train_steps", "1", "--network_weights",
                               self.work / "told/lora.safetensors", "--dim_from_weights", "--network_args", "split_qkv=True"])
        self.assertIn("split_qkv has no effect on 10 modules", out)

    def test_the_launcher_passes_everything_on(self):
        env = dict(os.environ, LORAPTOR=str(PROGRAM))
        out = subprocess.run([sys.executable, str(ROOT / "sd3_train_network.py"), "--help"], env=env, stdout=subprocess.PIPE,
                             text=True, check=True).stdout
        self.assertIn("--network_dim", out)


if __name__ == "__main__":
    unittest.main()
