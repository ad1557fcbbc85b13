"""Places that cannot be used are told before a model is read; what fails in the middle of a run and is no LoRA does not end it."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from support import PROGRAM, make_checkpoint, photo_dataset, read_log, read_metadata, read_safetensors, run

STEPS = 4


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        cls.base = make_checkpoint(cls.work / "model") + photo_dataset(cls.work / "data.toml", repeats=2) + [
            "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--seed", "5", "--learning_rate", "0.005",
            "--cache_latents", "--cache_text_encoder_outputs", "--output_name", "r", "--max_train_steps", str(STEPS)]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_places_that_cannot_be_used_are_told_before_a_model_is_read(self):
        (self.work / "file").write_text("")
        inside = self.work / "file/x"
        for words in (["--output_dir", self.work / "file"],
                      ["--output_dir", self.work / "o", "--output_name", 240 * "x"],
                      ["--output_dir", self.work / "o", "--log_json", inside],
                      ["--output_dir", self.work / "o", "--log_html", inside],
                      ["--output_dir", self.work / "o", "--logging_dir", inside],
                      ["--output_dir", self.work / "o", "--console_log_file", inside]):
            out = run(self.base + words, expect=3)
            self.assertIn("another " + ("--output_dir" if "--output_name" in words else words[-2]), out)
            self.assertNotIn("info model: ", out)

    def test_a_page_that_can_no_longer_be_written_does_not_end_the_run(self):
        pages, out = self.work / "pages", self.work / "page"
        words = self.base + ["--output_dir", out, "--log_html", pages / "r.html", "--max_train_steps", "6"]
        process = subprocess.Popen([str(PROGRAM), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None and not (pages / "r.html").exists():
            time.sleep(0.005)
        pages.rename(self.work / "pages_before")
        pages.write_text("in its place")
        told = process.communicate(timeout=300)[0]
        self.assertEqual(process.returncode, 0, told)
        self.assertIn("r.html] cannot be created", told)
        self.assertTrue((out / "r.safetensors").exists())

    def test_an_image_that_cannot_be_made_is_left_out(self):
        prompts = self.work / "prompts.txt"
        prompts.write_text("a cat --w 64 --h 64 --s 2 --slg_scale 1 --slg_layers 99\na cat --w 64 --h 64 --s 2\n")
        out = self.work / "images"
        told = run(self.base + ["--output_dir", out, "--sample_prompts", prompts, "--sample_every_n_steps", "2"])
        self.assertEqual(told.count("number 0 at 00000"), 2, told)
        self.assertEqual(sorted(p.name[:11] for p in (out / "sample").iterdir()), ["r_000002_01", "r_000004_01"])
        self.assertTrue((out / "r.safetensors").exists())

    def test_a_signal_is_heard_between_sampling_steps(self):
        prompts = self.work / "long.txt"
        prompts.write_text("a dog --w 64 --h 64 --s 1\na cat --w 256 --h 256 --s 1000\n")
        out, log = self.work / "signal", self.work / "signal.jsonl"
        words = self.base + ["--output_dir", out, "--sample_prompts", prompts, "--sample_every_n_steps", "2", "--log_json", log]
        process = subprocess.Popen([str(PROGRAM), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
            time.sleep(0.005)
        time.sleep(1)  # into the second image, which takes much longer
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=300)[0]
        self.assertEqual(process.returncode, 130, told)
        self.assertIn("stopped by SIGINT after step 2", told)
        self.assertEqual(list((out / "sample").iterdir()), [])  # the first was there, and is made again
        self.assertNotIn("sample image(s)", told)
        prompts.write_text("a cat --w 64 --h 64 --s 1\n")
        run(words + ["--resume", out / "r-recovery-state"])
        self.assertEqual(sorted(p.name[:11] for p in (out / "sample").iterdir()), ["r_000002_00", "r_000004_00"])

    def test_a_state_at_or_beyond_the_end_leaves_the_lora_alone(self):
        out = self.work / "end"
        words = self.base + ["--output_dir", out, "--save_every_n_steps", "2", "--save_state"]
        run(words)
        made = os.stat(out / "r.safetensors").st_mtime_ns
        told = run(words + ["--resume", out / "r-step00000004-state", "--max_train_steps", "3"], expect=2)
        self.assertIn("[--resume] nothing to train: got a state after step 4, expected one of at most the run's last step 3", told)
        self.assertIn("nothing left to train: the state stands at the end, after step 4", run(words + ["--resume", out / "r-state"]))
        self.assertEqual(made, os.stat(out / "r.safetensors").st_mtime_ns)
        run(words + ["--resume", out / "r-state", "--output_name", "copy"])
        self.assertEqual(read_metadata(out / "copy.safetensors")["sshs_model_hash"],
                         read_metadata(out / "r.safetensors")["sshs_model_hash"])

    def test_an_edited_data_set_is_told(self):
        out, data = self.work / "edited", self.work / "edited.toml"
        photo_dataset(data, repeats=2)
        words = self.base + ["--dataset_config", data, "--output_dir", out, "--save_every_n_steps", "2", "--save_state"]
        run(words)
        state = out / "r-step00000002-state"
        self.assertNotIn("differs", run(words + ["--resume", state, "--output_dir", self.work / "edited_0"]))
        photo_dataset(data, repeats=2, extra='caption_prefix = "sks"\n  keep_tokens = 1\n  flip_aug = true')
        told = run(words + ["--resume", state, "--output_dir", self.work / "edited_1", "--validation_split", "0.3"])
        for fact in ("caption_prefix: was not given, is sks", "keep_tokens: was not given, is 1",
                     "flip_aug: was not given, is True", "validation_split: was not given, is 0.3"):
            self.assertIn("data set 1, " + ("" if "split" in fact else "subset 1, ") + fact, told)
        # A state of before this was recorded.
        path = state / "train_state.json"
        json_text = json.loads(path.read_text())
        del json_text["data"]
        path.write_text(json.dumps(json_text))
        (state / "DONE").write_text("")
        self.assertNotIn("data set 1", run(words + ["--resume", state, "--output_dir", self.work / "edited_2"]))

    def test_another_trainers_state_gives_weights_and_step(self):
        state = self.work / "foreign"
        run(self.base + ["--output_dir", self.work / "foreign_run", "--max_train_steps", "2"])
        state.mkdir()
        (state / "model.safetensors").write_bytes((self.work / "foreign_run/r.safetensors").read_bytes())
        (state / "train_state.json").write_text('{"current_epoch": 1, "current_step": 2}')
        log = self.work / "foreign.jsonl"
        told = run(self.base + ["--output_dir", self.work / "foreign_on", "--resume", state, "--log_json", log])
        self.assertIn("written by another trainer", told)
        self.assertEqual([line["step"] for line in read_log(log)], [3, 4])

    def test_a_state_of_a_schedule_free_run_has_the_lora_of_the_evaluation_point(self):
        out = self.work / "free"
        run(self.base + ["--output_dir", out, "--optimizer_type", "AdamWScheduleFree", "--save_state"])
        lora = read_safetensors(out / "r.safetensors")
        saved = read_safetensors(out / "r-state/model.safetensors")
        self.assertEqual(set(lora), set(saved))
        for name in lora:
            self.assertTrue((lora[name] == saved[name]).all(), name)
        training_point = read_safetensors(out / "r-state/optimizer.safetensors")["network.values"]
        self.assertFalse(all(tensor.size == 1 or (tensor.reshape(-1)[0] == training_point).any() for tensor in saved.values()))

    def test_a_validation_that_a_resumed_run_repeats_is_logged_once(self):
        log, out = self.work / "val.jsonl", self.work / "val"
        words = self.base + ["--output_dir", out, "--log_json", log, "--validation_split", "0.3", "--validation_seed", "1",
                             "--validation_fixed_noise", "--validate_every_n_steps", "2", "--save_every_n_steps", "2", "--save_state"]
        run(words)
        whole = [(line["step"], line.get("after")) for line in read_log(log)]
        self.assertIn((2, "step"), whole)
        run(words + ["--resume", out / "r-step00000002-state", "--output_dir", self.work / "val_on"])
        self.assertEqual(whole, [(line["step"], line.get("after")) for line in read_log(log)])

    def test_the_progress_line_tells_of_limited_norms(self):
        told = run(self.base + ["--output_dir", self.work / "norms", "--scale_weight_norms", "0.01"])
        self.assertRegex(told, r"Keys Scaled=\d+, Average key norm=[\d.e-]+, avr_loss=")


if __name__ == "__main__":
    unittest.main()
