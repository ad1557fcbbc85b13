"""A run that was stopped and resumed equals the run that never stopped, bit for bit."""
import pathlib
import tempfile
import unittest

from support import make_checkpoint, photo_dataset, read_computed, read_safetensors, run


class ExactResume(unittest.TestCase):
    def check(self, extra, steps, stop):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            common = make_checkpoint(work / "model") + photo_dataset(work / "data.toml", repeats=2) + [
                "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--learning_rate", "0.005",
                "--max_train_steps", str(steps), "--seed", "5", "--cache_latents", "--cache_text_encoder_outputs",
                "--output_name", "r", *extra]
            run(common + ["--output_dir", work / "whole", "--log_json", work / "whole.jsonl",
                          "--save_every_n_steps", str(stop), "--save_state"])
            run(common + ["--output_dir", work / "rest", "--log_json", work / "rest.jsonl",
                          "--save_every_n_steps", str(stop), "--save_state",
                          "--resume", work / f"whole/r-step{stop:08d}-state"])
            whole, rest = read_computed(work / "whole.jsonl"), read_computed(work / "rest.jsonl")
            self.assertEqual(whole[stop:], rest)
            first = (work / "whole/r.safetensors").read_bytes()
            self.assertNotEqual(first, b"")
            want, got = read_safetensors(work / "whole/r.safetensors"), read_safetensors(work / "rest/r.safetensors")
            self.assertEqual(set(want), set(got))
            for name in want:
                self.assertTrue((want[name] == got[name]).all(), name)
            # The states at the end are the same too: optimizer, parameters, position.
            want = read_safetensors(work / "whole/r-state/optimizer.safetensors")
            got = read_safetensors(work / "rest/r-state/optimizer.safetensors")
            for name in want:
                self.assertTrue((want[name] == got[name]).all(), name)
            later = sorted(p.name for p in (work / "rest").iterdir())
            self.assertEqual([n for n in later if "step" in n],
                             sorted(p.name for p in (work / "whole").iterdir()
                                    if "step" in p.name and f"step{stop:08d}" not in p.name))

    def test_in_the_middle_of_an_epoch(self):
        self.check([], steps=12, stop=5)

    def test_with_accumulation_schedule_and_dropout(self):
        self.check(["--gradient_accumulation_steps", "3", "--lr_scheduler", "cosine", "--lr_warmup_steps", "2",
                    "--network_dropout", "0.2", "--clip_l_dropout_rate", "0.3"], steps=9, stop=4)

    def test_with_an_alpha_that_float32_does_not_have(self):
        self.check(["--network_dim", "3", "--network_alpha", "0.9"], steps=4, stop=2)

    def test_with_limited_norms_in_16_bits(self):
        self.check(["--mixed_precision", "bf16", "--full_bf16", "--scale_weight_norms", "0.05"], steps=9, stop=3)

    def test_in_bfloat16_with_checkpointing(self):
        self.check(["--mixed_precision", "bf16", "--gradient_checkpointing"], steps=6, stop=3)


class AfterTheLastStep(unittest.TestCase):
    def test_what_follows_it_is_done_though_an_older_file_is_there(self):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            common = make_checkpoint(work / "model") + photo_dataset(work / "data.toml") + [
                "--network_train_unet_only", "--learning_rate", "0.005", "--max_train_steps", "2", "--seed", "5",
                "--cache_latents", "--cache_text_encoder_outputs", "--output_name", "r", "--output_dir", work / "out",
                "--save_state", "--save_every_n_steps", "2"]
            run(common)
            final = work / "out/r.safetensors"
            want = read_safetensors(final)
            final.write_bytes(b"of an older run")
            # This state was saved before the end of the epoch: the run that resumes it still has a file to write.
            self.assertIn("only what follows it is done", run(common + ["--resume", work / "out/r-step00000002-state"]))
            got = read_safetensors(final)
            self.assertTrue(all((want[name] == got[name]).all() for name in want))
            made = final.stat().st_mtime_ns
            self.assertIn("stays as it is", run(common + ["--resume", work / "out/r-state"]))
            self.assertEqual(made, final.stat().st_mtime_ns)


class CountingFrom0(unittest.TestCase):
    def test_a_resumed_run_ends_with_its_epochs(self):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            common = make_checkpoint(work / "model") + photo_dataset(work / "data.toml") + [
                "--network_train_unet_only", "--learning_rate", "0.005", "--max_train_epochs", "3", "--seed", "5",
                "--cache_latents", "--cache_text_encoder_outputs", "--output_name", "r", "--save_state", "--save_every_n_epochs", "1"]
            run(common + ["--output_dir", work / "whole", "--log_json", work / "whole.jsonl"])
            run(common + ["--output_dir", work / "rest", "--log_json", work / "rest.jsonl", "--kohya_compat", "step_count",
                          "--resume", work / "whole/r-000001-state"])
            whole, rest = read_computed(work / "whole.jsonl"), read_computed(work / "rest.jsonl")
            steps = [line["step"] for line in rest if "loss" in line and "step" in line]
            per_epoch = len([line for line in whole if line.get("epoch") == 1 and "loss" in line and "step" in line])
            self.assertEqual(steps, list(range(1, 2 * per_epoch + 1)))
            self.assertTrue((work / "rest/r-000002.safetensors").exists())
            # The weights, the draws and the schedule are those of the run that never stopped.
            want, got = read_safetensors(work / "whole/r.safetensors"), read_safetensors(work / "rest/r.safetensors")
            for name in want:
                self.assertTrue((want[name] == got[name]).all(), name)


if __name__ == "__main__":
    unittest.main()
