// The metadata of a LoRA file have the reference's keys and Python's number format.
#include "train/metadata.h"

#include <gtest/gtest.h>

#include "train/model_spec.h"

namespace loraptor::train {
namespace {

TrainConfig some_config() {
  TrainConfig config;
  config.network.network_module = "networks.lora";
  config.network.network_args = {"context_attn_dim=2", "verbose=True"};
  config.optimizer.learning_rate = 1e-5;
  config.optimizer.text_encoder_lr = {5e-5, 1e-4};
  config.recorded["v2"] = "False";
  config.saving.output_name = "cat";
  return config;
}

RunFacts some_facts(const std::string& type, uint64_t seed = 0) {
  RunFacts facts;
  facts.model_type = type;
  facts.seed = seed;
  return facts;
}

TEST(Metadata, ValuesPrintAsPythonPrintsThem) {
  const auto metadata = training_metadata(some_config(), TrainPlan{}, some_facts("5-medium", 7));
  EXPECT_EQ(metadata.at("ss_learning_rate"), "1e-05");
  EXPECT_EQ(metadata.at("ss_text_encoder_lr"), "[5e-05, 0.0001]");
  EXPECT_EQ(metadata.at("ss_unet_lr"), "None");
  EXPECT_EQ(metadata.at("ss_network_alpha"), "1");
  EXPECT_EQ(metadata.at("ss_network_dim"), "None");
  EXPECT_EQ(metadata.at("ss_lr_warmup_steps"), "0");
  EXPECT_EQ(metadata.at("ss_network_args"), R"({"context_attn_dim": "2", "verbose": "True", "dropout": null})");
  EXPECT_EQ(metadata.at("ss_base_model_version"), "5-medium");
  EXPECT_EQ(metadata.at("ss_v2"), "False");
  EXPECT_EQ(metadata.at("ss_seed"), "7");
}

TEST(Metadata, DropoutAmongTheNetworkArgumentsStaysAsItIs) {
  TrainConfig config = some_config();
  config.network.network_dropout = 0.2;
  config.network.network_args = {"verbose=True"};
  EXPECT_EQ(training_metadata(config, TrainPlan{}, some_facts("medium")).at("ss_network_args"),
            R"({"verbose": "True", "dropout": 0.2})");
  config.network.network_args = {"dropout=0.5"};
  EXPECT_EQ(training_metadata(config, TrainPlan{}, some_facts("medium")).at("ss_network_args"),
            R"({"dropout": "0.5"})");
}

TEST(Metadata, AdafactorThatChoosesItsRateHasItAsSchedule) {
  TrainConfig config = some_config();
  config.optimizer.optimizer_type = "Adafactor";
  config.optimizer.unet_lr = 1e-4;
  auto metadata = training_metadata(config, TrainPlan{}, some_facts("medium"));
  EXPECT_EQ(metadata.at("ss_lr_scheduler"), "adafactor:1e-05");
  for (const char* key : {"ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr"}) EXPECT_EQ(metadata.at(key), "None");
  config.optimizer.optimizer_args = {"relative_step=False"};
  metadata = training_metadata(config, TrainPlan{}, some_facts("medium"));
  EXPECT_EQ(metadata.at("ss_lr_scheduler"), "constant");
  EXPECT_EQ(metadata.at("ss_unet_lr"), "0.0001");
}

TEST(Metadata, StructuredDataSetFactsAreJsonTexts) {
  RunFacts facts = some_facts("medium");
  facts.dataset = {{"ss_num_train_images", "3"}, {"ss_tag_frequency", {{"cat", {{"a", 1}}}}}};
  const auto metadata = training_metadata(some_config(), TrainPlan{}, facts);
  EXPECT_EQ(metadata.at("ss_num_train_images"), "3");
  EXPECT_EQ(metadata.at("ss_tag_frequency"), R"({"cat": {"a": 1}})");
}

TEST(Metadata, MinimalKeepsSixFields) {
  const auto minimal = minimal_metadata(training_metadata(some_config(), TrainPlan{}, some_facts("medium")));
  EXPECT_EQ(minimal.size(), 6u);
  EXPECT_EQ(minimal.count("ss_network_module"), 1u);
  EXPECT_EQ(minimal.count("ss_learning_rate"), 0u);
}

TEST(ModelSpec, NamesArchitectureTitleAndResolution) {
  auto config = some_config();
  config.data.resolution = "512,768";
  config.flow.min_timestep = 200;
  const auto spec = model_spec(config, "5-large", 0);
  EXPECT_EQ(spec.at("modelspec.architecture"), "stable-diffusion-3-5-large/lora");
  EXPECT_EQ(spec.at("modelspec.title"), "cat");
  EXPECT_EQ(spec.at("modelspec.resolution"), "512x768");
  EXPECT_EQ(spec.at("modelspec.timestep_range"), "200,1000");
  EXPECT_EQ(spec.at("modelspec.prediction_type"), "epsilon");
}

}  // namespace
}  // namespace loraptor::train
