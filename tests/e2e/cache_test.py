"""Caches on disk as a user meets them: filled, found again, stale, killed half-way, filled by two at once, and numpy's."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy

from support import IMAGES, PROGRAM, make_checkpoint, photo_dataset, read_log, run


def folder_of_images(work, name, copies=1):
    folder = work / name
    folder.mkdir()
    for source in sorted(IMAGES.iterdir()):
        if source.suffix == ".npz":
            continue
        for number in range(copies):
            stem = source.stem if number == 0 else f"{source.stem}_{number}"
            shutil.copy(source, folder / (stem + source.suffix))
    photo_dataset(work / f"{name}.toml", images=folder)
    return folder, ["--dataset_config", work / f"{name}.toml"]


def caches(folder):
    """The hash of each cache file, by name: short enough for unittest to print what differs."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix == ".npz"}


class Caches(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self.scratch.name)
        self.model = make_checkpoint(self.work / "model")

    def tearDown(self):
        self.scratch.cleanup()

    def train(self, data, log, *extra):
        return run(self.model + data + ["--network_module", "networks.lora_sd3", "--network_train_unet_only",
                                        "--learning_rate", "0.005", "--max_train_steps", "4", "--seed", "5",
                                        "--output_dir", self.work / "out", "--output_name", "r",
                                        "--log_json", self.work / log, *extra])

    def test_training_uses_what_the_command_made_and_loads_no_encoder(self):
        folder, data = folder_of_images(self.work, "a")
        text = run(["cache", *self.model, *data])
        self.assertIn("0 cached on disk", text)
        before = caches(folder)
        images = [p for p in folder.iterdir() if p.suffix not in (".txt", ".npz", ".json", ".lock") and p.name[0] != "."]
        self.assertEqual(len(before), 2 * len(images))
        to_disk = ["--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk"]
        text = self.train(data, "disk.jsonl", *to_disk)
        self.assertIn("the VAE was not loaded", text)
        self.assertIn("no text encoder was loaded", text)
        self.assertEqual(before, caches(folder))
        self.assertNotIn("no record", text)
        # The files are all that is needed: encoder files need not be there any more.
        text = self.train(data, "skip.jsonl", *to_disk, "--skip_cache_check")
        self.assertEqual([line["loss"] for line in read_log(self.work / "disk.jsonl")],
                         [line["loss"] for line in read_log(self.work / "skip.jsonl")])
        arrays = numpy.load(next(folder.glob("*_sd3_te.npz")))
        self.assertEqual(set(arrays.files), {"lg_out", "lg_pooled", "t5_out", "clip_l_attn_mask", "clip_g_attn_mask",
                                             "t5_attn_mask", "apply_lg_attn_mask", "apply_t5_attn_mask"})

    def test_files_without_a_record_are_used_and_stale_ones_are_named_and_made_again(self):
        folder, data = folder_of_images(self.work, "a")
        run(["cache", *self.model, *data])
        first = caches(folder)
        (folder / "loraptor_cache.json").unlink()
        text = run(["cache", *self.model, *data])
        self.assertIn("have no record of what they were made from", text)
        self.assertEqual(first, caches(folder))
        shutil.rmtree(folder)
        folder, data = folder_of_images(self.work, "a")
        run(["cache", *self.model, *data])
        captions = sorted(folder.glob("*.txt"))
        captions[0].write_text("something else")
        text = run(["cache", *self.model, *data])
        name = captions[0].stem + "_sd3_te.npz"
        self.assertIn(name, text)
        changed = [key for key, value in caches(folder).items() if value != first[key]]
        self.assertEqual(changed, [name])
        damaged = folder / name
        damaged.write_bytes(damaged.read_bytes()[:1000])
        self.assertIn(name, run(["cache", *self.model, *data]))
        numpy.load(damaged)["t5_out"]

    def test_drawn_variants_and_posteriors_train_from_files_as_from_memory(self):
        folder, _ = folder_of_images(self.work, "a")
        photo_dataset(self.work / "a.toml", images=folder, extra="random_crop = true\n  color_aug = true\n  flip_aug = true")
        data = ["--dataset_config", self.work / "a.toml"]
        refused = run(self.model + data + ["--network_module", "networks.lora_sd3", "--network_train_unet_only",
                                           "--output_dir", self.work / "out", "--cache_latents"], expect=2)
        self.assertIn("--latents_variants", refused)
        extras = ["--latents_variants", "3", "--cache_latents_posterior", "--max_train_epochs", "2"]
        self.train(data, "memory.jsonl", *extras)
        self.train(data, "made.jsonl", "--cache_latents_to_disk", *extras)
        before = caches(folder)
        text = self.train(data, "found.jsonl", "--cache_latents_to_disk", *extras)
        self.assertIn("the VAE was not loaded", text)
        self.assertEqual(before, caches(folder))
        losses = [[line["loss"] for line in read_log(self.work / name)]
                  for name in ("memory.jsonl", "made.jsonl", "found.jsonl")]
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(losses[1], losses[2])
        with numpy.load(next(folder.glob("*_sd3.npz"))) as file:
            drawn = [file[name] for name in file.files if name.startswith("moments_") and "flipped" not in name]
        self.assertEqual([array.shape[0] for array in drawn], [32] * 3)
        self.assertFalse((drawn[0] == drawn[1]).all() and (drawn[1] == drawn[2]).all())

    def test_drawn_captions_train_from_files_as_from_memory(self):
        folder, _ = folder_of_images(self.work, "a")
        photo_dataset(self.work / "a.toml", images=folder, extra="shuffle_caption = true\n  caption_dropout_rate = 0.3\n"
                                                                 "  caption_prefix = 'photo,'")
        data = ["--dataset_config", self.work / "a.toml"]
        extras = ["--cache_latents", "--cache_text_encoder_variants", "2", "--max_train_epochs", "2"]
        self.train(data, "memory.jsonl", *extras)
        self.train(data, "made.jsonl", "--cache_text_encoder_outputs_to_disk", *extras)
        images = {path.stem for path in folder.iterdir() if path.suffix == ".txt"}
        self.assertEqual(len(list(folder.glob("*_sd3_te_v?.npz"))), 2 * len(images))
        self.assertTrue((folder / "loraptor_empty_sd3_te.npz").exists())
        text = self.train(data, "found.jsonl", "--cache_text_encoder_outputs_to_disk", *extras)
        self.assertIn("no text encoder was loaded", text)
        losses = [[line["loss"] for line in read_log(self.work / name)]
                  for name in ("memory.jsonl", "made.jsonl", "found.jsonl")]
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(losses[1], losses[2])

    def test_killed_it_leaves_no_half_file_and_the_next_run_finishes(self):
        whole, whole_data = folder_of_images(self.work, "whole", copies=6)
        run(["cache", *self.model, *whole_data])
        want = caches(whole)
        folder, data = folder_of_images(self.work, "killed", copies=6)
        process = subprocess.Popen([str(PROGRAM), "cache", *map(str, self.model + data)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        deadline = time.time() + 60
        while len(caches(folder)) < 5 and time.time() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = caches(folder)
        self.assertGreater(len(left), 0)
        self.assertLess(len(left), len(want))
        for name, value in left.items():
            self.assertEqual(value, want[name], name)
        run(["cache", *self.model, *data])
        self.assertEqual(caches(folder), want)
        self.assertEqual([p.name for p in folder.iterdir() if ".tmp-" in p.name], [])

    def fill_alone_and_by_two_at_once(self, *extra):
        """Two folders of the same images, and what names them on the command line."""
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads of two processes would wait for each other
        alone, alone_data = folder_of_images(self.work, "alone", copies=4)
        run(["cache", *self.model, *alone_data, *extra], env=one_thread)
        folder, data = folder_of_images(self.work, "both", copies=4)
        command = [str(PROGRAM), "cache", *map(str, self.model + data), *extra]
        both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread)
                for _ in range(2)]
        for process in both:
            self.addCleanup(process.kill)  # if one waits for the other for ever
        self.assertEqual([process.wait(timeout=120) for process in both], [0, 0])
        return alone, alone_data, folder, data

    def test_two_at_once_give_the_same_folder_as_one(self):
        alone, _, folder, data = self.fill_alone_and_by_two_at_once()
        self.assertEqual(caches(folder), caches(alone))
        records = [json.loads((path / "loraptor_cache.json").read_text())["caches"] for path in (alone, folder)]
        self.assertEqual(set(records[0]), set(records[1]))
        self.assertEqual(set(records[0]), set(caches(alone)))
        self.assertIn("0 to be made", run(["cache", *self.model, *data]))
        started, data = folder_of_images(self.work, "started", copies=4)
        text = run(["cache", *self.model, *data, "--num_processes", "2"], env={**os.environ, "OMP_NUM_THREADS": "1"})
        self.assertIn("2 processes", text)
        self.assertEqual(caches(started), caches(alone))

    def test_one_folder_mirrored_and_not_trains_from_one_set_of_files(self):
        folder, _ = folder_of_images(self.work, "a")
        data = photo_dataset(self.work / "both.toml", images=folder)
        plain = (self.work / "both.toml").read_text()
        table = plain[plain.index("[[datasets]]"):]
        (self.work / "plain.toml").write_text(plain)
        (self.work / "both.toml").write_text(plain + table + "  flip_aug = true\n")
        words = data + ["--cache_latents_to_disk", "--max_train_epochs", "2"]
        run(["cache", *self.model, "--dataset_config", self.work / "plain.toml"])
        # The mirrored data set writes the arrays of the other one anew, which this run found before.
        text = self.train(words, "first.jsonl", "--vae_batch_size", "3")
        self.assertIn("latents: 5 cached on disk, 5 to be made", text)
        self.assertIn("latents: 10 cached on disk, 0 to be made", self.train(words, "second.jsonl"))
        losses = [[line["loss"] for line in read_log(self.work / name) if "loss" in line]
                  for name in ("first.jsonl", "second.jsonl")]
        self.assertGreater(len(losses[0]), 10)
        self.assertEqual(losses[0], losses[1])

    def test_one_folder_resized_in_two_ways_keeps_the_first(self):
        folder, _ = folder_of_images(self.work, "a")
        photo_dataset(self.work / "two.toml", images=folder)
        plain = (self.work / "two.toml").read_text()
        table = plain[plain.index("[[datasets]]"):]
        (self.work / "two.toml").write_text(plain + "  resize_interpolation = 'box'\n" + table +
                                            "  resize_interpolation = 'nearest'\n")
        words = ["cache", *self.model, "--dataset_config", self.work / "two.toml"]
        text = run(words)
        self.assertIn("latents: 0 cached on disk, 5 to be made", text)
        self.assertIn("used twice at this size, but differently (the interpolation: was box, is now nearest)", text)
        before = caches(folder)
        self.assertIn("latents: 5 cached on disk, 0 to be made", run(words))
        self.assertEqual(caches(folder), before)
        self.assertNotIn("stale", run(["dataset", self.work / "two.toml"]))

    def test_an_image_with_two_captions_lends_its_file_to_no_other(self):
        sources = sorted(path for path in IMAGES.iterdir() if path.suffix == ".png")
        text = 'caption_extension = ".none"\n'
        for folder, source, caption in (("i", 0, "a red cat"), ("i", 0, "a blue house"), ("j", 1, "a blue house")):
            (self.work / folder).mkdir(exist_ok=True)
            shutil.copy(sources[source], self.work / folder)
            text += (f'[[datasets]]\nresolution = 64\n  [[datasets.subsets]]\n  image_dir = "{self.work / folder}"\n'
                     f'  class_tokens = "{caption}"\n')
        (self.work / "three.toml").write_text("[general]\n" + text)
        data = ["--dataset_config", self.work / "three.toml"]
        told = self.train(data, "disk.jsonl", "--cache_text_encoder_outputs_to_disk")
        self.assertIn("is the text cache of two images with different captions", told)
        self.train(data, "memory.jsonl", "--cache_text_encoder_outputs")
        disk, memory = ([line["loss"] for line in read_log(self.work / name) if "loss" in line]
                        for name in ("disk.jsonl", "memory.jsonl"))
        self.assertEqual(len(disk), 4)
        self.assertEqual(disk, memory)

    def test_a_cache_whose_numbers_are_damaged_is_named_with_what_to_do(self):
        folder, data = folder_of_images(self.work, "a")
        run(["cache", *self.model, *data])
        for kind in ("_te.npz", "_sd3.npz"):
            damaged = sorted(path for path in folder.iterdir() if path.name.endswith(kind))[0]
            whole = damaged.read_bytes()
            damaged.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
            report = run(["dataset", *data], expect=1)
            self.assertIn("numbers are damaged (training stops at them; delete them", report)
            self.assertNotIn("stale or damaged", report)
            words = [*self.model, *data, "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--output_dir",
                     self.work / "out", "--max_train_epochs", "1", "--cache_latents_to_disk",
                     "--cache_text_encoder_outputs_to_disk"]
            self.assertIn(f"Hint: delete '{damaged}'", run(words, expect=3))
            damaged.unlink()
            run(words)
            self.assertEqual(damaged.stat().st_size, len(whole))

    def test_text_caches_with_other_masks_are_named(self):
        folder, data = folder_of_images(self.work, "a")
        run(["cache", *self.model, *data])
        text = run(["cache", *self.model, *data, "--apply_t5_attn_mask"])
        self.assertEqual(text.count("cache is made again: apply_t5_attn_mask: was false, is now true"), 5)
        self.assertNotIn("stale", run(["dataset", *data]))

    def test_an_image_whose_name_has_no_room_for_a_cache_trains_without_one(self):
        folder, data = folder_of_images(self.work, "a")
        first = sorted(folder.glob("*.txt"))[0]
        image = next(path for path in folder.iterdir() if path.stem == first.stem and path != first)
        for path in (first, image):
            path.rename(folder / ("n" * 245 + path.suffix))
        self.assertIn("0 problems", run(["dataset", *data]))
        run([*self.model, *data, "--network_module", "networks.lora_sd3", "--network_train_unet_only", "--output_dir",
             self.work / "out", "--max_train_steps", "1", "--cache_latents"])
        self.assertIn("too long", run(["cache", *self.model, *data], expect=3))

    def test_trained_clip_encoders_read_transformed_captions_beside_a_cached_t5(self):
        folder, plain = folder_of_images(self.work, "a")
        photo_dataset(self.work / "prefix.toml", images=folder, extra="caption_prefix = 'a drawing,'")
        prefix = ["--dataset_config", self.work / "prefix.toml"]

        def losses(data, *extra):
            log = self.work / "log.jsonl"
            text = run([*self.model, *data, "--network_module", "networks.lora_sd3", "--learning_rate", "0.005", "--seed",
                        "5", "--max_train_steps", "3", "--output_dir", self.work / "out", "--log_json", log, *extra])
            self.assertEqual("has no effect on T5" in text, "--cache_text_encoder_outputs" in extra and data is prefix)
            return [line["loss"] for line in read_log(log)]

        cached, without_t5 = "--cache_text_encoder_outputs", ["--t5_dropout_rate", "1"]
        self.assertNotEqual(losses(plain, cached), losses(prefix, cached))
        self.assertEqual(losses(prefix, *without_t5), losses(prefix, cached, *without_t5))

    def test_options_of_caches_that_there_are_not_are_told(self):
        _, data = folder_of_images(self.work, "a")
        useless = ["--skip_cache_check", "--cache_format", "shard", "--vae_batch_size", "2", "--text_encoder_batch_size", "2"]
        text = self.train(data, "log.jsonl", "--max_train_steps", "1", *useless)
        for flag in (word for word in useless if word.startswith("--")):
            self.assertIn(f"{flag} has no effect", text)
        used = ["--latents_variants", "2", "--cache_text_encoder_outputs_to_disk", *useless]
        text = self.train(data, "log.jsonl", "--max_train_steps", "1", *used)
        self.assertEqual([line.split(" has no effect")[0].split()[-1] for line in text.splitlines() if "has no effect" in line],
                         ["--latents_variants"])

    def test_a_run_ends_when_another_replaces_what_it_trains_on(self):
        _, data = folder_of_images(self.work, "a")
        log = self.work / "log.jsonl"
        words = self.model + data + ["--network_module", "networks.lora_sd3", "--network_train_unet_only", "--output_dir",
                                     self.work / "out", "--max_train_steps", "100000", "--log_json", log,
                                     "--cache_text_encoder_outputs_to_disk"]
        with open(self.work / "text", "w") as text:
            process = subprocess.Popen([str(PROGRAM), *map(str, words)], stdout=text, stderr=subprocess.STDOUT)
        self.addCleanup(process.kill)
        while process.poll() is None and not (log.exists() and log.read_text()):
            time.sleep(0.1)
        self.assertIn("0 cached on disk, 5 to be made",
                      run(["cache", *self.model, *data, "--t5xxl_max_token_length", "77"]))
        self.assertEqual(process.wait(timeout=120), 3)
        self.assertIn("another program replaced the file", (self.work / "text").read_text())

    def test_shards_train_as_npz_files_do(self):
        _, npz = folder_of_images(self.work, "npz")
        folder, data = folder_of_images(self.work, "shards")
        to_disk = ["--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk"]
        shard = ["--cache_format", "shard"]
        self.train(npz, "npz.jsonl", *to_disk)
        run(["cache", *self.model, *data, *shard])
        self.assertEqual(caches(folder), {})
        self.assertEqual(sorted(path.name for path in (folder / "loraptor_shards").iterdir()),
                         ["0001.shard", "0001.shard.index"])
        before = (folder / "loraptor_shards" / "0001.shard").read_bytes()
        text = self.train(data, "shard.jsonl", *to_disk, *shard)
        self.assertIn("the VAE was not loaded", text)
        self.assertIn("no text encoder was loaded", text)
        self.assertEqual(before, (folder / "loraptor_shards" / "0001.shard").read_bytes())
        self.train(data, "skip.jsonl", *to_disk, *shard, "--skip_cache_check")
        losses = [[line["loss"] for line in read_log(self.work / name)]
                  for name in ("npz.jsonl", "shard.jsonl", "skip.jsonl")]
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(losses[1], losses[2])

    def test_a_bf16_run_reads_the_same_text_from_memory_npz_files_and_shards(self):
        to_disk = ["--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk"]
        kinds = {"memory": ["--cache_latents_to_disk", "--cache_text_encoder_outputs"], "npz": to_disk,
                 "shard": [*to_disk, "--cache_format", "shard"]}
        losses = {}
        for name, words in kinds.items():
            folder, data = folder_of_images(self.work, name)
            self.train(data, f"{name}.jsonl", "--mixed_precision", "bf16", *words)
            losses[name] = [line["loss"] for line in read_log(self.work / f"{name}.jsonl")]
        self.assertEqual(losses["memory"], losses["npz"])
        self.assertEqual(losses["npz"], losses["shard"])
        self.assertIn(b'"BF16"', (folder / "loraptor_shards" / "0001.shard").read_bytes())

    def test_stale_caches_in_shards_are_named_and_made_again(self):
        folder, data = folder_of_images(self.work, "a")
        command = ["cache", *self.model, *data, "--cache_format", "shard"]
        run(command)
        self.assertIn("0 to be made", run(command))
        captions = sorted(folder.glob("*.txt"))
        captions[0].write_text("something else")
        text = run(command)
        self.assertIn(captions[0].stem + "_sd3_te.npz", text)
        self.assertIn("the caption was changed", text)
        self.assertIn("1 to be made", text)
        self.assertNotIn("1 to be made", run(command))
        shard = folder / "loraptor_shards" / "0001.shard"
        damaged = bytearray(shard.read_bytes())
        damaged[damaged.rindex(b"shardrec") + 60] ^= 1  # the header of the caption that was made again
        shard.write_bytes(damaged)
        text = run(command)
        self.assertIn("cache is made again", text)
        self.assertNotIn("1 to be made", run(command))

    def shard_losses(self, data, log):
        self.train(data, log, "--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk", "--cache_format", "shard")
        return [line["loss"] for line in read_log(self.work / log)]

    def test_killed_while_filling_shards_the_next_run_finishes(self):
        _, whole = folder_of_images(self.work, "whole", copies=6)
        want = self.shard_losses(whole, "whole.jsonl")
        folder, data = folder_of_images(self.work, "killed", copies=6)
        command = ["cache", *self.model, *data, "--cache_format", "shard"]
        process = subprocess.Popen([str(PROGRAM), *map(str, command)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        shard = folder / "loraptor_shards" / "0001.shard"
        deadline = time.time() + 60
        while (not shard.exists() or shard.stat().st_size < 1_500_000) and time.time() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertGreater(shard.stat().st_size, 0)
        text = run(command)
        self.assertNotIn("text-encoder outputs: 0 cached on disk", text)
        self.assertEqual(self.shard_losses(data, "killed.jsonl"), want)

    def test_two_filling_shards_at_once_share_the_work(self):
        shards = ["--cache_format", "shard"]
        alone, alone_data, folder, data = self.fill_alone_and_by_two_at_once(*shards)
        self.assertIn("0 to be made", run(["cache", *self.model, *data, *shards]))
        want = self.shard_losses(alone_data, "alone.jsonl")
        self.assertEqual(self.shard_losses(data, "both.jsonl"), want)
        size = sum(path.stat().st_size for path in (folder / "loraptor_shards").glob("*.shard"))
        once = sum(path.stat().st_size for path in (alone / "loraptor_shards").glob("*.shard"))
        self.assertLess(size, 1.02 * once, "a cache was made twice")


if __name__ == "__main__":
    unittest.main()
