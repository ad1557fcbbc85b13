"""A run that is interrupted, resumed by itself, or loses its loss: nothing is lost, nothing is made twice."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from support import PROGRAM, make_checkpoint, photo_dataset, read_log, read_metadata, read_safetensors, run

STEPS = 9


def steps_of(path):
    return [{key: line[key] for key in ("step", "epoch", "loss", "average", "lr", "grad_norm")}
            for line in read_log(path) if "loss" in line]


class Recovery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        cls.base = make_checkpoint(cls.work / "model") + photo_dataset(cls.work / "data.toml", repeats=2) + [
            "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--seed", "5",
            "--cache_latents", "--cache_text_encoder_outputs", "--output_name", "r", "--max_train_steps", str(STEPS)]
        cls.common = cls.base + ["--learning_rate", "0.005", "--gradient_accumulation_steps", "3", "--ema_decay", "0.9",
                                 "--save_every_n_steps", "4"]
        run(cls.command("whole"))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def command(cls, name, extra=()):
        return cls.common + ["--output_dir", cls.work / name, "--log_json", cls.work / f"{name}.jsonl", *extra]

    def interrupt(self, name, number, after_steps, extra=()):
        """Starts a run, sends it a signal once it has logged so many steps, and returns its status and output."""
        log = self.work / f"{name}.jsonl"
        process = subprocess.Popen([str(PROGRAM), *map(str, self.command(name, extra))], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        deadline = time.time() + 120
        while time.time() < deadline and process.poll() is None:
            if log.exists() and log.read_text().count("\n") >= after_steps:
                break
            time.sleep(0.005)
        process.send_signal(number)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output

    def expect_like_the_whole_run(self, name):
        for file in ("r.safetensors", "r_ema.safetensors", "r-step00000008.safetensors", "r-step00000008_ema.safetensors"):
            want, got = read_safetensors(self.work / "whole" / file), read_safetensors(self.work / name / file)
            self.assertEqual(set(want), set(got))
            for tensor in want:
                self.assertTrue((want[tensor] == got[tensor]).all(), f"{file} {tensor}")
        self.assertEqual(steps_of(self.work / "whole.jsonl"), steps_of(self.work / f"{name}.jsonl"))

    def test_an_interrupted_run_is_saved_and_can_be_resumed_in_the_middle_of_a_step(self):
        status, output = self.interrupt("int", signal.SIGINT, after_steps=2)
        self.assertEqual(status, 130, output)
        state = self.work / "int/r-recovery-state"
        self.assertIn(f"--resume {state}", output)
        self.assertIn("after step", output)
        for name in ("r-recovery.safetensors", "r-recovery_ema.safetensors"):
            self.assertTrue((self.work / "int" / name).exists(), name)
        sums = subprocess.run(["sha256sum", "-c", "DONE"], cwd=state, stdout=subprocess.PIPE, text=True)
        self.assertEqual(sums.returncode, 0, sums.stdout)
        run(self.command("int", ["--resume", state]))
        self.expect_like_the_whole_run("int")
        self.assertFalse([p.name for p in (self.work / "int").iterdir() if "recovery" in p.name])

    def test_the_same_command_goes_on_and_says_when_it_is_finished(self):
        status, output = self.interrupt("auto", signal.SIGTERM, after_steps=3, extra=["--auto_resume"])
        self.assertEqual(status, 143, output)
        self.assertIn("same command again", output)
        output = run(self.command("auto", ["--auto_resume"]))
        self.assertIn("r-recovery-state", output)
        self.expect_like_the_whole_run("auto")
        made = os.stat(self.work / "auto/r.safetensors").st_mtime_ns
        output = run(self.command("auto", ["--auto_resume"]))
        self.assertIn("this run is finished", output)
        self.assertEqual(made, os.stat(self.work / "auto/r.safetensors").st_mtime_ns)
        output = run(self.command("auto", ["--auto_resume", "--max_train_steps", str(STEPS + 1), "--learning_rate", "0.004"]))
        self.assertEqual(read_metadata(self.work / "auto/r.safetensors")["ss_steps"], str(STEPS + 1))
        self.assertIn("learning_rate: was 0.005, is 0.004", output)

    def test_the_average_is_a_lora_of_its_own(self):
        want, average = (read_safetensors(self.work / "whole" / f) for f in ("r.safetensors", "r_ema.safetensors"))
        ups = [name for name in want if name.endswith("lora_up.weight")]
        self.assertTrue(any((want[name] != average[name]).any() for name in ups))
        self.assertEqual(read_metadata(self.work / "whole/r_ema.safetensors")["ss_steps"], str(STEPS))

    def test_a_lost_loss_names_its_layer_and_step_and_leaves_the_files_of_before(self):
        words = self.base + ["--output_dir", self.work / "nan", "--learning_rate", "1e30", "--save_every_n_steps", "1",
                             "--save_state"]
        output = run(words, expect=4)
        self.assertIn("in step 2", output)
        self.assertRegex(output, r"layer joint_blocks\.\d+\.\w+\.[\w.]+ of the MMDiT")
        self.assertIn("--resume " + str(self.work / "nan/r-step00000001-state"), output)
        self.assertEqual(sorted(p.name for p in (self.work / "nan").iterdir()),
                         ["r-step00000001-state", "r-step00000001.safetensors"])

    def test_a_lost_loss_is_rolled_back_with_a_lower_rate(self):
        # The first update moves each weight by the rate itself: 1000 loses the second loss, 500 does not (the border is near 650).
        log = self.work / "back.jsonl"
        words = self.base + ["--output_dir", self.work / "back", "--log_json", log, "--max_train_steps", "4",
                             "--on_nan", "rollback", "--learning_rate", LOST_RATE]
        output = run(words)
        self.assertIn("back to step 0, learning rates divided by 2", output)
        lines = steps_of(log)
        self.assertEqual([line["step"] for line in lines], [1, 2, 3, 4])
        self.assertAlmostEqual(lines[0]["lr"]["unet"] / (float(LOST_RATE) / 4), 1)
        hopeless = run(words[:-1] + ["1e30"], expect=4)
        self.assertIn("No further return: 3 times", hopeless)

    def test_fixed_validation_does_not_depend_on_the_seed(self):
        losses = {}
        for seed, batch in ((1, 2), (2, 1)):
            log = self.work / f"fixed{seed}.jsonl"
            data = photo_dataset(self.work / f"fixed{seed}.toml", batch_size=batch)
            words = [word for word in self.base]
            words[words.index("--dataset_config") + 1] = data[1]
            words[words.index("--seed") + 1] = str(seed)
            run(words + ["--output_dir", self.work / f"fixed{seed}", "--log_json", log, "--learning_rate", "1e-12",
                         "--max_train_steps", "1", "--validation_split", "0.4", "--validation_seed", "1",
                         "--validation_fixed_noise", "--loss_type", "l1" if seed == 2 else "l2"])
            losses[seed] = [line["validation"] for line in read_log(log) if "validation" in line][-1]
        self.assertLess(abs(losses[1]["fixed"] / losses[2]["fixed"] - 1), 1e-5)
        self.assertNotEqual(losses[1]["loss"], losses[2]["loss"])


LOST_RATE = "2000"

if __name__ == "__main__":
    unittest.main()
