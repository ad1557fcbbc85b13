"""The installed folder runs from another place and with an empty environment."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from support import ROOT, make_checkpoint, photo_dataset

BUILD = pathlib.Path(os.environ["LORAPTOR_BUILD"])


class Install(unittest.TestCase):
    def test_a_moved_folder_trains_with_an_empty_environment(self):
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(work / "first")], check=True,
                           stdout=subprocess.DEVNULL)
            shutil.move(work / "first", work / "moved folder")
            program = work / "moved folder/bin/loraptor"
            words = make_checkpoint(work / "model") + photo_dataset(work / "data.toml") + [
                "--network_module", "networks.lora", "--network_train_unet_only", "--max_train_steps", "1",
                "--output_dir", str(work / "out"), "--output_name", "lora"]
            result = subprocess.run([str(program), *words], env={}, cwd="/", stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertTrue((work / "out/lora.safetensors").exists())
            libraries = subprocess.run(["ldd", str(program)], env={}, stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertNotIn("not found", libraries)
            outside = [line for line in libraries.splitlines() if str(ROOT) in line]
            self.assertEqual(outside, [], "the installed program reaches into the source tree")


if __name__ == "__main__":
    unittest.main()
