// From words to settings: precedence, options without effect, refusals and conflicts.
#include "cli/config_build.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "cli/option_table.h"
#include "support/temp_folder.h"
#include "train/train_config_check.h"

namespace loraptor::cli {
namespace {

using Strings = std::vector<std::string>;

const Strings kMinimum{
    "--pretrained_model_name_or_path", "m.safetensors", "--dataset_config", "d.toml", "--output_dir", "o"};

BuiltConfig build(const Strings& more, Strings words = kMinimum) {
  words.insert(words.end(), more.begin(), more.end());
  return build_config(parse_words(words).options);
}

/// What building says against `more` on top of the minimum.
std::string build_problem(const Strings& more, const Strings& minimum = kMinimum) {
  try {
    build(more, minimum);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no problem";
}

void expect_build_problem(const Strings& more, const std::string& where) {
  const std::string text = build_problem(more);
  EXPECT_EQ(text.rfind("[--" + where + "]", 0), 0u) << text;
  EXPECT_EQ(text.find("\n["), std::string::npos) << "more than one problem: " << text;
}

TEST(OptionsConfig, defaults_are_those_of_the_structs) {
  const TrainConfig config = build({}).config;
  EXPECT_EQ(config.optimizer.learning_rate, 2e-6);
  EXPECT_EQ(config.model.pretrained_model_name_or_path, "m.safetensors");
  EXPECT_TRUE(config.network.network_alpha_is_integer);
  EXPECT_TRUE(config.loop.seed.has_value());
  EXPECT_EQ(config.recorded.at("noise_offset"), "None");
  EXPECT_EQ(config.recorded.at("multires_noise_discount"), "0.3");
  EXPECT_EQ(config.recorded.at("debiased_estimation"), "False");
}

TEST(OptionsConfig, the_command_line_wins_over_the_file) {
  test::TempFolder folder;
  write_file(folder / "run.toml",
             "network_dim = 8\nnetwork_alpha = 4\ncache_latents = true\nnetwork_args = [\"verbose=True\"]\n");
  const TrainConfig config =
      build({"--config_file", folder / "run", "--network_di", "16", "--network_args", "split_qkv=True"}).config;
  EXPECT_EQ(config.network.network_dim, 16);
  EXPECT_EQ(config.network.network_alpha, 4);
  EXPECT_TRUE(config.network.network_alpha_is_integer);
  EXPECT_TRUE(config.cache.cache_latents);
  EXPECT_EQ(config.network.network_args, Strings{"split_qkv=True"});
  EXPECT_EQ(config.origins.at("network_dim"), "command line");
  EXPECT_EQ(config.origins.at("network_alpha"), "run.toml");
  EXPECT_NE(settings_text(config).find("network_alpha"), std::string::npos);
}

TEST(OptionsConfig, a_typed_alpha_is_no_integer) {
  EXPECT_FALSE(build({"--network_alpha", "1"}).config.network.network_alpha_is_integer);
}

TEST(OptionsConfig, options_without_effect_warn_once_and_are_recorded) {
  const BuiltConfig built = build({"--v2", "--noise_offset", "0.1", "--sdpa", "--max_token_length", "75"});
  EXPECT_EQ(built.warnings.size(), 3u);
  EXPECT_EQ(built.config.recorded.at("max_token_length"), "75");
  EXPECT_EQ(built.config.recorded.at("v2"), "True");
  EXPECT_EQ(built.config.recorded.at("noise_offset"), "0.1");
}

TEST(OptionsConfig, every_option_without_effect_is_named_once) {
  Strings words{"--optimizer_type", "Adafactor"};  // for --fused_backward_pass
  std::vector<std::string> names;
  for (const Option& option : all_options()) {
    const bool is_odd = option.name == "v_pred_like_loss";  // not with --v_parameterization
    if (option.status != Status::no_effect || option.is_silent || is_odd) continue;
    names.push_back(option.name);
    words.push_back("--" + option.name);
    if (option.kind != Kind::flag) words.back() += "=7";
  }
  EXPECT_GE(names.size(), 40u);
  const auto warnings = build(words).warnings;
  for (const auto& name : names) {
    const auto is_named = [&](const auto& text) { return text.starts_with("--" + name + " has no effect: "); };
    EXPECT_EQ(std::count_if(warnings.begin(), warnings.end(), is_named), 1) << name;
  }
}

TEST(OptionsConfig, settings_that_change_nothing_beside_the_others_are_named) {
  const auto expect_warning = [](const Strings& words, const std::string& part) {
    const auto warnings = build(words).warnings;
    ASSERT_EQ(warnings.size(), 1u) << part;
    EXPECT_NE(warnings[0].find(part), std::string::npos) << warnings[0];
  };
  expect_warning({"--log_config"}, "--log_config has no effect without --logging_dir");
  expect_warning({"--output_config"}, "--output_config has no effect without --config_file");
  expect_warning({"--lr_scheduler", "cosine", "--lr_scheduler_power", "2"},
                 "--lr_scheduler_power has no effect with --lr_scheduler cosine");
  expect_warning({"--lr_scheduler_min_lr_ratio", "0.1"}, "--lr_scheduler_min_lr_ratio has no effect");
  expect_warning({"--lr_scheduler", "cosine", "--lr_scheduler_type", "StepLR", "--lr_scheduler_args", "step_size=1"},
                 "--lr_scheduler has no effect with --lr_scheduler_type StepLR");
  expect_warning({"--network_args", "context_atn_dim=2"}, "context_attn_dim");
  const Strings from_file{"--network_weights", "w.safetensors", "--dim_from_weights"};
  const auto with = [&](Strings more) {
    more.insert(more.end(), from_file.begin(), from_file.end());
    return more;
  };
  expect_warning(with({"--network_dim", "8", "--network_args", "emb_dims=1,1,1,1,1,1", "rank_dropout=0.1"}),
                 "no effect: --network_dim, emb_dims;");
  EXPECT_TRUE(build(with({"--network_args", "rank_dropout=0.1", "split_qkv=True"})).warnings.empty());
  EXPECT_TRUE(build({"--lr_scheduler", "polynomial", "--lr_scheduler_power", "2"}).warnings.empty());
  EXPECT_TRUE(build({"--lr_warmup_steps", "0", "--lr_scheduler_power", "1", "--lr_scheduler_num_cycles", "1"})
                  .warnings.empty());
}

TEST(OptionsConfig, a_default_written_as_a_whole_number_is_one) {
  const test::TempFolder folder;
  write_file(folder / "whole.toml", "max_grad_norm = 1\nprior_loss_weight = 1\nnetwork_alpha = 2\n");
  const std::string text = settings_text(build({"--config_file", folder / "whole.toml"}).config);
  EXPECT_EQ(text.find("max_grad_norm"), std::string::npos) << text;
  EXPECT_EQ(text.find("prior_loss_weight"), std::string::npos) << text;
  EXPECT_NE(text.find("network_alpha"), std::string::npos) << text;
}

TEST(OptionsConfig, a_list_of_images_wants_their_folder) {
  const Strings with_list{"--pretrained_model_name_or_path",
                          "m.safetensors",
                          "--output_dir",
                          "o",
                          "--resolution",
                          "64",
                          "--in_json",
                          "list.json"};
  EXPECT_TRUE(build_problem({}, with_list).starts_with("[--train_data_dir] image folder: got none"));
  EXPECT_EQ(build_problem({"--train_data_dir", "images"}, with_list), "no problem");
}

TEST(OptionsConfig, a_batch_of_none_for_the_vae_is_one) {
  const auto built = build({"--vae_batch_size", "0"});
  EXPECT_EQ(built.config.cache.vae_batch_size, 1);
  EXPECT_EQ(built.warnings.size(), 1u);
}

TEST(OptionsConfig, an_empty_name_is_none_or_is_told_with_its_flag) {
  const TrainConfig config = build({"--resume=", "--console_log_file", "", "--config_file=", "--t5xxl_device="}).config;
  EXPECT_FALSE(config.loop.resume || config.logging.console_log_file || config.model.t5xxl_device);
  for (const char* flag : {"network_weights", "base_weights", "log_html", "log_json", "output_dir"}) {
    expect_build_problem({fmt::format("--{}=", flag)}, flag);
  }
}

TEST(OptionsConfig, dropout_inside_t5_needs_a_t5_that_is_trained) {
  expect_build_problem({"--t5_internal_dropout", "0.1"}, "t5_internal_dropout");
  expect_build_problem({"--t5_internal_dropout", "1", "--network_args", "train_t5xxl=True"}, "t5_internal_dropout");
  EXPECT_EQ(build_problem({"--t5_internal_dropout", "0.1", "--network_args", "train_t5xxl=True"}), "no problem");
}

TEST(OptionsConfig, folders_of_images_that_are_not_there_are_told) {
  TrainConfig config = build({}, {"--pretrained_model_name_or_path", "m", "--output_dir", "o", "--train_data_dir",
                                  "/no/such/folder", "--resolution", "512"})
                           .config;
  try {
    train::check_train_config(config);
    ADD_FAILURE() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()).rfind("[--train_data_dir] folder: got '/no/such/folder'", 0), 0u)
        << error.what();
  }
}

TEST(OptionsConfig, files_that_are_read_late_are_looked_for_at_once) {
  const test::TempFolder folder;
  write_file(folder / "there.safetensors", "x");
  const std::string there = (folder / "there.safetensors").string();
  for (const char* flag : {"network_weights", "base_weights", "replay_draws"}) {
    TrainConfig found = build({fmt::format("--{}", flag), there}).config;
    EXPECT_NO_THROW(train::check_train_config(found)) << flag;
    TrainConfig missing = build({fmt::format("--{}", flag), "/no/such.safetensors"}).config;
    try {
      train::check_train_config(missing);
      ADD_FAILURE() << flag << " accepted";
    } catch (const UsageError& error) {
      EXPECT_EQ(error.what(), fmt::format("[--{}] file: got '/no/such.safetensors', which is not there.", flag));
    }
  }
}

TEST(OptionsConfig, the_command_of_the_guide_works) {
  const BuiltConfig built =
      build({"--clip_l=a", "--clip_g=b", "--t5xxl=c", "--output_name=my_sd3_lora", "--save_model_as=safetensors",
             "--network_module=networks.lora", "--network_dim=16", "--network_alpha=1", "--learning_rate=1e-4",
             "--optimizer_type=AdamW8bit", "--lr_scheduler=constant", "--sdpa", "--max_train_epochs=10",
             "--save_every_n_epochs=1", "--mixed_precision=fp16", "--gradient_checkpointing",
             "--weighting_scheme=sigma_sqrt", "--blocks_to_swap=32"});
  EXPECT_EQ(built.config.loop.max_train_epochs, 10);
}

TEST(OptionsConfig, what_is_refused_stops_unless_it_is_the_default) {
  expect_build_problem({"--torch_compile"}, "torch_compile");
  expect_build_problem({"--huggingface_repo_id", "x"}, "huggingface_repo_id");
  EXPECT_EQ(build_problem({"--keep_tokens", "0", "--caption_dropout_rate", "0"}), "no problem");
}

TEST(OptionsConfig, all_problems_are_reported_together) {
  const std::string text = build_problem({"--deepspeed", "--weighted_captions"}, {"--mixed_precision", "no"});
  for (const char* part : {"[--deepspeed]", "[--weighted_captions]", "[--pretrained_model_name_or_path]",
                           "[--dataset_config]", "[--resolution]", "[--output_dir]"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(OptionsConflict, each_combination_has_its_error) {
  expect_build_problem({"--network_module", "networks.unknown"}, "network_module");
  expect_build_problem({"--adaptive_noise_scale", "0.1"}, "adaptive_noise_scale");
  expect_build_problem({"--scale_v_pred_loss_like_noise_pred"}, "scale_v_pred_loss_like_noise_pred");
  expect_build_problem({"--v_pred_like_loss", "0.1", "--v_parameterization"}, "v_pred_like_loss");
  expect_build_problem({"--cache_text_encoder_outputs", "--network_args", "train_t5xxl=True"},
                       "cache_text_encoder_outputs");
  expect_build_problem({"--log_with", "tensorboard"}, "logging_dir");
  expect_build_problem({"--log_with", "wandb", "--logging_dir", "x"}, "log_with");
  expect_build_problem({"--t5xxl_device", "gpu"}, "t5xxl_device");
  expect_build_problem({"--use_8bit_adam", "--optimizer_type", "AdamW"}, "optimizer_type");
  expect_build_problem({"--use_8bit_adam", "--use_lion_optimizer"}, "use_8bit_adam");
  expect_build_problem({"--fused_backward_pass"}, "fused_backward_pass");
  expect_build_problem({"--optimizer_args", "a"}, "optimizer_args");
  expect_build_problem({"--lr_scheduler_args", "a=b=c"}, "lr_scheduler_args");
  expect_build_problem({"--network_args", "a"}, "network_args");
  expect_build_problem({"--optimizer_type", "Adamm"}, "optimizer_type");
  expect_build_problem({"--lr_scheduler", "cosin"}, "lr_scheduler");
  expect_build_problem({"--lr_warmup_steps", "10"}, "lr_warmup_steps");
  expect_build_problem({"--lr_scheduler", "adafactor"}, "lr_scheduler");
  expect_build_problem({"--optimizer_type", "Adafactor", "--lr_warmup_steps", "10"}, "lr_warmup_steps");
  expect_build_problem({"--lr_scheduler", "cosine_with_min_lr"}, "lr_scheduler");
  expect_build_problem({"--lr_scheduler", "reduce_lr_on_plateau"}, "lr_scheduler");
  expect_build_problem({"--lr_scheduler", "polynomial", "--learning_rate", "1e-7"}, "lr_scheduler_args lr_end");
  expect_build_problem({"--loss_type", "huber"}, "huber_schedule");
  expect_build_problem({"--weighted_captions"}, "weighted_captions");
  expect_build_problem({"--sample_every_n_steps", "10"}, "sample_prompts");
  expect_build_problem({"--sample_at_first"}, "sample_prompts");
  expect_build_problem({"--dim_from_weights"}, "dim_from_weights");
  expect_build_problem({"--network_train_unet_only", "--network_train_text_encoder_only"}, "network_train_unet_only");
  expect_build_problem({"--learning_rate", "0"}, "learning_rate");
  expect_build_problem({"--network_train_unet_only", "--unet_lr", "0"}, "learning_rate");
  expect_build_problem({"--save_model_as", "ckpt"}, "save_model_as");
  expect_build_problem({"--min_timestep", "500", "--max_timestep", "400"}, "min_timestep");
  expect_build_problem({"--gradient_accumulation_steps", "0"}, "gradient_accumulation_steps");
}

TEST(OptionsConflict, of_different_rates_with_one_estimated_step_size) {
  for (const char* type : {"Prodigy", "DAdaptation", "DAdaptAdam", "DAdaptLion", "DAdaptSGD"}) {
    const Strings words{"--optimizer_type", type, "--learning_rate", "1"};
    const auto with = [&](const Strings& more) {
      Strings all = words;
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    EXPECT_EQ(build_problem(words), "no problem");
    EXPECT_EQ(build_problem(with({"--unet_lr", "0.5", "--text_encoder_lr", "0"})), "no problem");  // one group
    EXPECT_EQ(build_problem(with({"--text_encoder_lr", "1", "1", "0.5"})), "no problem");          // T5 is not trained
    expect_build_problem(with({"--unet_lr", "0.5"}), "optimizer_type");
    expect_build_problem(with({"--text_encoder_lr", "1", "0.5"}), "optimizer_type");
    expect_build_problem(with({"--network_args", "loraplus_lr_ratio=4"}), "optimizer_type");
    EXPECT_EQ(build_problem(with({"--network_train_unet_only", "--unet_lr", "0.5"})), "no problem");
  }
  // These learn a step size for each group, or go by the first group's rate.
  for (const char* type : {"DAdaptAdan", "DAdaptAdaGrad", "prodigyplus.ProdigyPlusScheduleFree", "AdamW"}) {
    EXPECT_EQ(build_problem({"--optimizer_type", type, "--unet_lr", "0.5"}), "no problem");
  }
}

TEST(OptionsConfig, schedules_that_the_optimizer_does_not_look_at_are_named) {
  const auto warnings = [](const Strings& words) { return build(words).warnings; };
  const auto free =
      warnings({"--optimizer_type", "AdamWScheduleFree", "--lr_scheduler", "cosine", "--lr_warmup_steps", "5"});
  ASSERT_EQ(free.size(), 2u);
  EXPECT_EQ(free[0], "--lr_scheduler has no effect: AdamWScheduleFree needs no schedule.");
  EXPECT_EQ(free[1].rfind("--lr_warmup_steps has no effect", 0), 0u);
  EXPECT_EQ(warnings({"--optimizer_type", "Adafactor", "--lr_scheduler", "cosine"}).size(), 1u);
  EXPECT_TRUE(warnings({"--optimizer_type", "Adafactor", "--lr_scheduler", "adafactor"}).empty());
  EXPECT_TRUE(warnings({"--optimizer_type", "AdamW", "--lr_scheduler", "cosine", "--lr_warmup_steps", "5"}).empty());
}

TEST(OptionsConflict, of_image_folders_given_by_flags) {
  const auto folder_problem = [](const Strings& more) {
    return build_problem(more, {"--pretrained_model_name_or_path", "m", "--output_dir", "o", "--train_data_dir", "d"});
  };
  const auto expect = [&](const Strings& more, const std::string& where) {
    const std::string text = folder_problem(more);
    EXPECT_EQ(text.rfind("[--" + where + "]", 0), 0u) << text;
  };
  expect({}, "resolution");
  expect({"--resolution", "10x10"}, "resolution");
  expect({"--resolution", "1024,"}, "resolution");
  expect({"--resolution", "1024", "--enable_bucket", "--bucket_reso_steps", "48"}, "bucket_reso_steps");
  expect({"--resolution", "512,768", "--enable_bucket", "--min_bucket_reso", "640"}, "min_bucket_reso");
  expect({"--resolution", "512,768", "--enable_bucket", "--max_bucket_reso", "640"}, "max_bucket_reso");
  EXPECT_EQ(folder_problem({"--resolution", "512,768", "--enable_bucket"}), "no problem");
}

TEST(OptionsConflict, of_precision_and_memory) {
  TrainConfig config = build({}).config;
  config.memory.full_fp16 = config.memory.full_bf16 = config.memory.fp8_base = true;
  config.memory.cpu_offload_checkpointing = true;
  config.memory.blocks_to_swap = 2;
  config.loop.initial_step = 1600;
  EXPECT_EQ(train::find_problems(config).size(), 5u);
  EXPECT_THROW(train::check_train_config(config), UsageError);
}

TEST(OptionsImplied, settings_follow_from_others) {
  TrainConfig config;
  config.cache.cache_latents_to_disk = config.cache.cache_text_encoder_outputs_to_disk = true;
  config.memory.fp8_base_unet = true;
  config.data.caption_extention = ".txt";
  config.data.dataset_config = "d.toml";
  config.data.train_data_dir = "d";
  config.optimizer.use_lion_optimizer = true;
  config.sample.sample_every_n_steps = 0;
  const auto warnings = train::apply_implied_settings(config);
  EXPECT_TRUE(config.cache.cache_latents && config.cache.cache_text_encoder_outputs && config.memory.fp8_base);
  EXPECT_EQ(config.data.caption_extension, ".txt");
  EXPECT_FALSE(config.data.train_data_dir || config.sample.sample_every_n_steps);
  EXPECT_EQ(config.optimizer.optimizer_type, "Lion");
  EXPECT_EQ(warnings.size(), 4u);
  const auto seed = config.loop.seed;
  EXPECT_TRUE(train::apply_implied_settings(config).empty());
  EXPECT_EQ(config.loop.seed, seed);
}

}  // namespace
}  // namespace loraptor::cli
