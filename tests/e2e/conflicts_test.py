"""Settings that cannot work together are told before anything is loaded, with the flag or key that is meant."""
import concurrent.futures
import pathlib
import subprocess
import tempfile
import unittest

from support import PROGRAM, make_checkpoint, photo_dataset, run

# Words added to a command line that works -> what the message names.
CONFLICTS = [
    ("--network_module networks.lora_flux", "network_module"),
    ("--adaptive_noise_scale 0.1", "adaptive_noise_scale"),
    ("--scale_v_pred_loss_like_noise_pred", "scale_v_pred_loss_like_noise_pred"),
    ("--v_pred_like_loss 0.1 --v_parameterization", "v_pred_like_loss"),
    ("--full_fp16", "full_fp16"),
    ("--full_bf16", "full_bf16"),
    ("--fp8_base", "fp8_base"),
    ("--fp8_base_unet", "fp8_base_unet"),
    ("--cache_text_encoder_outputs --network_args train_t5xxl=True", "cache_text_encoder_outputs"),
    ("--blocks_to_swap 1 --cpu_offload_checkpointing", "blocks_to_swap"),
    ("--blocks_to_swap 3", "blocks_to_swap"),
    ("--log_with tensorboard", "logging_dir"),
    ("--log_with all", "log_with"),
    ("--use_8bit_adam --use_lion_optimizer", "use_8bit_adam"),
    ("--use_8bit_adam --optimizer_type AdamW", "optimizer_type"),
    ("--use_lion_optimizer --optimizer_type AdamW", "optimizer_type"),
    ("--fused_backward_pass", "fused_backward_pass"),
    ("--fused_backward_pass --optimizer_type Adafactor --gradient_accumulation_steps 2", "fused_backward_pass"),
    ("--optimizer_args a", "optimizer_args"),
    ("--optimizer_args a=b=c", "optimizer_args"),
    ("--optimizer_args weight_decay=abc", "optimizer_args"),
    ("--lr_scheduler_args x", "lr_scheduler_args"),
    ("--lr_scheduler cosine --lr_scheduler_args num_cycles=abc", "lr_scheduler_args"),
    ("--network_args x", "network_args"),
    ("--optimizer_type Foo", "optimizer_type"),
    ("--lr_scheduler foo", "lr_scheduler"),
    ("--optimizer_type Prodigy --unet_lr 0.5 --text_encoder_lr 1", "optimizer_type"),
    ("--optimizer_type DAdaptAdam --network_args loraplus_lr_ratio=2", "optimizer_type"),
    ("--lr_warmup_steps 1", "lr_warmup_steps"),
    ("--optimizer_type Adafactor --lr_warmup_steps 1", "lr_warmup_steps"),
    ("--lr_scheduler_type CosineAnnealingLR --lr_scheduler_args T_max=10 --lr_warmup_steps 1", "lr_warmup_steps"),
    ("--lr_scheduler adafactor", "lr_scheduler"),
    ("--lr_scheduler adafactor --optimizer_type Adafactor --optimizer_args relative_step=False", "lr_scheduler"),
    ("--lr_scheduler cosine_with_min_lr", "lr_scheduler"),
    ("--t5xxl_device gpu", "t5xxl_device"),
    ("--t5_internal_dropout 0.1", "t5_internal_dropout"),
    ("--network_weights=", "network_weights"),
    ("--lr_scheduler reduce_lr_on_plateau", "lr_scheduler"),
    ("--lr_scheduler cosine_warmup_with_min_lr", "lr_scheduler"),
    ("--lr_scheduler polynomial --learning_rate 1e-7", "lr_scheduler_args lr_end"),
    ("--loss_type huber", "huber_schedule"),
    ("--loss_type smooth_l1", "huber_schedule"),
    ("--weighted_captions", "weighted_captions"),
    ("--sample_every_n_steps 1", "sample_prompts"),
    ("--sample_every_n_epochs 1", "sample_prompts"),
    ("--sample_at_first", "sample_prompts"),
    ("--initial_step 2", "max_train_steps"),
    ("--gradient_accumulation_steps 9223372036854775807", "expected at most 1000000000"),
    ("--max_train_epochs 9223372036854775807", "expected at most 1000000000"),
    ("--lr_scheduler constant_with_warmup --lr_warmup_steps 9223372036854775807", "up to 1000000000 steps"),
    ("--dim_from_weights", "dim_from_weights"),
    ("--network_train_unet_only --network_train_text_encoder_only", "network_train_unet_only"),
    ("--learning_rate 0", "learning_rate"),
    ("--network_args emb_dims=1,2,3,4,5", "emb_dims"),
    ("--network_args train_block_indices=x", "train_block_indices"),
    ("--network_args train_block_indices=3-1", "train_block_indices"),
    ("--network_args train_block_indices=999", "train_block_indices"),
]
CACHE_LATENTS, CACHE_TEXT = "--cache_latents", "--cache_text_encoder_outputs --network_train_unet_only"
# A line of the data set file, the line that takes its place, words -> what the message names.
DATA_CONFLICTS = [
    ("num_repeats = 1", "color_aug = true", CACHE_LATENTS, "color_aug"),
    ("num_repeats = 1", "random_crop = true", CACHE_LATENTS, "random_crop"),
    ("num_repeats = 1", "caption_dropout_rate = 0.1", CACHE_TEXT, "cached text encoder outputs"),
    ("num_repeats = 1", "shuffle_caption = true", CACHE_TEXT, "cached text encoder outputs"),
    ("num_repeats = 1", "token_warmup_step = 5", CACHE_TEXT, "cached text encoder outputs"),
    ("num_repeats = 1", "caption_tag_dropout_rate = 0.1", CACHE_TEXT, "cached text encoder outputs"),
    ("num_repeats = 1", "token_warmup_step = 5", CACHE_TEXT + " --cache_text_encoder_variants 2",
     "token_warmup_step, expected none.\nHint: leave them out, or --cache_text_encoder_outputs."),
    ("num_repeats = 1", "num_repeats = 1", "--max_validation_steps 0", "max_validation_steps"),
    ("bucket_reso_steps = 32", "bucket_reso_steps = 48", "", "bucket_reso_steps"),
    ("min_bucket_reso = 64", "min_bucket_reso = 256", "", "min_bucket_reso"),
    ("max_bucket_reso = 256", "max_bucket_reso = 64", "", "max_bucket_reso"),
    ("resolution = 128", "", "", "resolution"),
]
LOADED = ("captions ready after", "images ready after", "info model: ", "info LoRA: ")  # what a run says once it has loaded something


class Conflicts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.scratch.name)
        cls.model = make_checkpoint(cls.work / "model")
        cls.data = photo_dataset(cls.work / "data.toml")
        cls.base = ["--output_dir", str(cls.work / "o"), "--max_train_steps", "2", "--learning_rate", "1e-3", "--device", "cpu"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def expect_refusals(self, cases):
        """cases   (words, what the message names)"""
        def refusal(words):
            return subprocess.run([str(PROGRAM), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for (words, name), result in zip(cases, pool.map(refusal, [words for words, _ in cases])):
                with self.subTest(" ".join(words[len(self.model):])):
                    self.assertIn(result.returncode, (2, 3), result.stdout)
                    message = result.stdout[result.stdout.index("error: "):]
                    self.assertIn(name, message)
                    self.assertFalse([text for text in LOADED if text in result.stdout], result.stdout)

    def test_the_command_line_without_them_works(self):
        out = run(self.model + self.data + self.base + ["--cache_latents", *CACHE_TEXT.split()])
        for text in LOADED:
            self.assertIn(text, out)

    def test_options_against_options(self):
        self.expect_refusals([(self.model + self.data + self.base + words.split(), name) for words, name in CONFLICTS])

    def test_options_against_the_data_set(self):
        text, cases = (self.work / "data.toml").read_text(), []
        for number, (line, other, words, name) in enumerate(DATA_CONFLICTS):
            self.assertIn(line, text)
            path = self.work / f"data{number}.toml"
            path.write_text(text.replace(line, other))
            cases.append((self.model + ["--dataset_config", str(path)] + self.base + words.split(), name))
        self.expect_refusals(cases)

    def test_text_encoders_of_another_model(self):
        clip_g = ["--clip_l", str(self.work / "model/clip_g.safetensors")]
        self.expect_refusals([(self.model + self.data + self.base + clip_g, "--clip_l")])
        for words in (["train", *self.data, *self.base], ["cache", *self.data],
                      ["generate", "--prompt", "a cat", "--outdir", str(self.work / "o")]):
            self.assertIn("expected pooled widths that are 320 together", run([words[0], *self.model, *words[1:], *clip_g], expect=3))

    def test_parts_that_are_in_no_file(self):
        cases = [(self.model[2:] + self.data + self.base, "pretrained_model_name_or_path")]
        for flag in ("--clip_l", "--clip_g", "--t5xxl"):
            at = self.model.index(flag)
            cases.append((self.model[:at] + self.model[at + 2:] + self.data + self.base, flag))
        other = ["--pretrained_model_name_or_path", str(self.work / "model/clip_l.safetensors")]
        cases.append((other + self.model[2:] + self.data + self.base, "clip_l.safetensors"))
        self.expect_refusals(cases)


if __name__ == "__main__":
    unittest.main()
