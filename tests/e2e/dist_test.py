"""Several processes train as one does, whoever starts them; one that is lost ends the others, with a state to go on from."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import PROGRAM, make_checkpoint, photo_dataset, read_log, read_safetensors, run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ManyProcesses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        # Thirteen batches an epoch: neither the epoch nor the steps are a multiple of the processes.
        cls.base = make_checkpoint(cls.work / "model") + photo_dataset(cls.work / "data.toml", batch_size=1) + [
            "--network_module", "networks.lora", "--network_train_unet_only", "--learning_rate", "5e-3", "--seed", "5",
            "--cache_latents", "--cache_text_encoder_outputs", "--network_dropout", "0.2", "--device", "cpu",
            "--output_name", "r"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def words(self, name, *extra):
        return [str(word) for word in [*self.base, "--output_dir", self.work / name, "--log_json",
                                       self.work / f"{name}.jsonl", *extra]]

    def log(self, name):
        return read_log(self.work / f"{name}.jsonl")

    def start(self, count, words):
        """As torchrun starts them."""
        port, processes = free_port(), []
        for rank in range(count):
            env = dict(os.environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1",
                       MASTER_PORT=str(port), OMP_NUM_THREADS="1")
            processes.append(subprocess.Popen([str(PROGRAM), *words], env=env, stdout=subprocess.PIPE,
                                              stderr=subprocess.STDOUT, text=True))
        return processes

    def finish(self, processes, seconds=60):
        outputs = [process.communicate(timeout=seconds)[0] for process in processes]
        return [process.returncode for process in processes], outputs

    def expect_same_course(self, one, other):
        first, second = self.log(one), self.log(other)
        self.assertEqual(len(first), len(second))
        for a, b in zip(first, second):
            self.assertEqual(a["step"], b["step"])
            for key in ("loss", "grad_norm"):
                self.assertLess(abs(a[key] - b[key]) / a[key], 1e-5, f"{key} of step {a['step']}")
        first, second = (read_safetensors(self.work / name / "r.safetensors") for name in (one, other))
        self.assertEqual(set(first), set(second))
        for key in first:
            self.assertLess(abs(first[key] - second[key]).max(), 2e-4, key)

    def test_the_course_is_that_of_one_process_with_the_same_batches(self):
        steps = ["--max_train_steps", "4", "--save_every_n_steps", "2", "--save_state"]
        run(self.words("one", *steps, "--gradient_accumulation_steps", "6"))
        status, outputs = self.finish(self.start(3, self.words("three", *steps, "--gradient_accumulation_steps", "2")))
        self.assertEqual(status, [0, 0, 0], outputs)
        self.assertEqual(outputs[1] + outputs[2], "", "the main process speaks for all")
        self.expect_same_course("one", "three")
        # The launcher of our own, and a state that another number of processes goes on from.
        run(self.words("two", *steps, "--gradient_accumulation_steps", "3", "--num_processes", "2",
                       "--resume", self.work / "three/r-step00000002-state"))
        rest = self.log("one")[2:]
        self.assertEqual([line["step"] for line in self.log("two")], [line["step"] for line in rest])
        for a, b in zip(rest, self.log("two")):
            self.assertLess(abs(a["loss"] - b["loss"]) / a["loss"], 1e-5)

    def wait_for_steps(self, name, count):
        deadline = time.time() + 60
        while time.time() < deadline:
            path = self.work / f"{name}.jsonl"
            if path.exists() and len(path.read_text().splitlines()) >= count:
                return
            time.sleep(0.05)
        self.fail(f"{name}: no {count} steps within a minute")

    def test_a_lost_process_ends_the_others_and_the_first_of_them_saves(self):
        for lost in (1, 0):
            with self.subTest(lost=lost):
                name = f"lost{lost}"
                processes = self.start(2, self.words(name, "--max_train_steps", "100000"))
                self.wait_for_steps(name, 3)
                processes[lost].kill()
                begin = time.time()
                status, outputs = self.finish([processes[1 - lost]], seconds=30)
                self.finish([processes[lost]])
                self.assertLess(time.time() - begin, 30)
                self.assertEqual(status, [4], outputs)
                self.assertIn(f"process {lost} of 2", outputs[0])
                self.assertIn("--resume", outputs[0])
                (state,) = self.work.glob(f"{name}/r*-state")
                self.assertIn(str(state), outputs[0])
                done = int(outputs[0].split("Saved after step ")[1].split(":")[0])
                self.assertEqual(json.loads((state / "train_state.json").read_text())["loraptor"]["step"], done)
                self.assertEqual(int(read_safetensors(state / "optimizer.safetensors")["optimizer.step"]), done)
                run(self.words(name + "_on", "--max_train_steps", done + 1, "--gradient_accumulation_steps", "2",
                               "--resume", state))
                self.assertEqual([line["step"] for line in self.log(name + "_on")], [done + 1])

    def test_a_signal_stops_all_processes_with_one_state(self):
        words = self.words("stopped", "--max_train_steps", "100000", "--num_processes", "2")
        launcher = subprocess.Popen([str(PROGRAM), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.wait_for_steps("stopped", 2)
        launcher.send_signal(signal.SIGTERM)
        output = launcher.communicate(timeout=60)[0]
        self.assertEqual(launcher.returncode, 128 + signal.SIGTERM, output)
        self.assertEqual(output.count("stopped by SIGTERM"), 1, output)
        (state,) = self.work.glob("stopped/r*-state")
        run(self.words("went_on", "--max_train_steps", self.log("stopped")[-1]["step"] + 1,
                       "--gradient_accumulation_steps", "2", "--resume", state))

    def test_it_ends_also_where_ended_processes_are_ignored(self):
        words = self.words("ignored", "--num_processes", "2", "--network_weights", "/no/such.safetensors")
        started = subprocess.run([PROGRAM, *words], capture_output=True, timeout=60,
                                 preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(started.returncode, 2, started.stderr)

    def test_mistakes_are_told_once_and_before_anything_is_started(self):
        out = run(self.words("x", "--num_processes", "2", "--lerning_rate", "1"), expect=2)
        self.assertEqual(out.count("lerning_rate"), 1, out)
        run(self.words("x", "--num_processes", "0"), expect=2)
        out = run(self.words("x"), expect=2, env=dict(os.environ, WORLD_SIZE="2"))
        self.assertIn("RANK", out)


if __name__ == "__main__":
    unittest.main()
