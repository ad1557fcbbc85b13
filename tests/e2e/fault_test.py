"""kill -9 at random moments, each followed by the same command with --auto_resume: the LoRA is that of an undisturbed run.

FAULTS=50 fault_test.py does more of them; SEED=n chooses the moments (printed).
"""
import os
import pathlib
import random
import resource
import signal
import subprocess
import tempfile
import time
import unittest

from support import PROGRAM, make_checkpoint, photo_dataset, read_safetensors, run

FAULTS = int(os.environ.get("FAULTS", "3"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        # A state after every step: a good part of the time goes into saving.
        cls.common = make_checkpoint(cls.work / "model") + photo_dataset(cls.work / "data.toml", repeats=2) + [
            "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--seed", "5", "--learning_rate", "0.005",
            "--cache_latents", "--cache_text_encoder_outputs", "--output_name", "r", "--auto_resume", "--recovery_minutes", "0",
            "--save_every_n_steps", "2", "--save_state", "--save_last_n_steps", "4", "--gradient_accumulation_steps", "2",
            "--max_train_steps", str(8 + 2 * FAULTS)]
        run(cls.command("whole"))
        cls.want = read_safetensors(cls.work / "whole/r.safetensors")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def command(cls, name, extra=()):
        return cls.common + ["--output_dir", cls.work / name, *extra]

    def expect_like_the_whole_run(self, name):
        got = read_safetensors(self.work / name / "r.safetensors")
        self.assertEqual(set(self.want), set(got))
        for tensor in got:
            self.assertTrue((self.want[tensor] == got[tensor]).all(), tensor)
        self.assertEqual(sorted(p.name for p in (self.work / name).iterdir()),
                         sorted(p.name for p in (self.work / "whole").iterdir()))

    def test_kills_cost_nothing(self):
        moments = random.Random(SEED)
        print(f"SEED={SEED}, {FAULTS} kills", flush=True)
        kills = during_saves = 0
        while kills < FAULTS:
            process = subprocess.Popen([str(PROGRAM), *map(str, self.command("killed"))], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
            started = None
            for line in process.stdout:  # the clock starts with the loop: most moments before it are alike
                if "epoch " in line:
                    started = time.time()
                    break
            if started is None:
                self.assertEqual(process.wait(), 0, "finished before all kills")
                break
            time.sleep(moments.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            during_saves += any(".tmp-" in p.name for p in (self.work / "killed").glob("*"))
        run(self.command("killed"))
        print(f"{kills} kills, {during_saves} of them while a file was being written", flush=True)
        self.expect_like_the_whole_run("killed")

    def test_a_full_disk_leaves_the_last_good_files(self):
        state = self.work / "full/r-step00000002-state"
        run(self.command("full", ["--max_train_steps", "2"]))
        # The limit on the size of a file lies between the LoRA and the optimizer's state, which can no longer be written.
        sizes = {name: (state / name).stat().st_size for name in ("model.safetensors", "optimizer.safetensors")}
        limit = (sizes["model.safetensors"] + sizes["optimizer.safetensors"]) // 2
        result = subprocess.run([str(PROGRAM), *map(str, self.command("full"))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True,  # with SIGXFSZ as a shell has it
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertEqual(result.returncode, 3, result.stdout)
        self.assertIn("optimizer.safetensors", result.stdout)
        self.assertFalse([p.name for p in (self.work / "full").iterdir() if ".tmp-" in p.name])
        damaged = self.work / "full/r-state/optimizer.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-100])
        output = run(self.command("full"))
        self.assertIn("r-state/optimizer.safetensors] damaged", output)
        self.expect_like_the_whole_run("full")


if __name__ == "__main__":
    unittest.main()
