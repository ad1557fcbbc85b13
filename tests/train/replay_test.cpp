// Recorded draws are taken as they are, and refused where they do not fit.
#include "train/replay.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::train {
namespace {

class ReplayFile : public testing::Test {
 protected:
  ReplayFile() {
    io::write_safetensors(path(),
                          {{"step0000.noise", at::ones({2, 16, 4, 4})},
                           {"step0000.timesteps", at::tensor({3.0f, 900.0f})},
                           {"latent_noise.cat", at::zeros({16, 4, 4})}},
                          {{"images", R"([["cat", "dog"]])"}});
  }
  std::filesystem::path path() const { return folder_ / "draws.safetensors"; }
  test::TempFolder folder_;
  const tensor::BatchDraws batch_{.micro_step = 0, .epoch = 1, .occurrences = {0, 1}};
};

TEST_F(ReplayFile, GivesWhatWasRecorded) {
  Replay replay(path());
  EXPECT_EQ(replay.batches(), (std::vector<std::vector<std::string>>{{"cat", "dog"}}));
  EXPECT_TRUE(at::equal(replay.noise(batch_, {2, 16, 4, 4}), at::ones({2, 16, 4, 4})));
  EXPECT_EQ((*replay.recorded_timesteps(batch_))[1].item<float>(), 900.0f);
  EXPECT_EQ(replay.captions(0), nullptr);
  EXPECT_FALSE(replay.pixels(0).has_value());
}

TEST_F(ReplayFile, NamesBothShapesWhenTheyDiffer) {
  Replay replay(path());
  try {
    replay.noise(batch_, {2, 16, 8, 8});
    FAIL() << "expected FileError";
  } catch (const FileError& e) {
    EXPECT_NE(std::string(e.what()).find("[2,16,4,4]"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("[2,16,8,8]"), std::string::npos) << e.what();
  }
}

TEST_F(ReplayFile, NamesTheDrawThatIsMissing) {
  Replay replay(path());
  EXPECT_THROW(replay.cached_latent_noise("bird", 0, {16, 4, 4}), FileError);
}

TEST(FormatReplay, AFileWithoutImagesIsNoRecording) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "x.safetensors", {{"a", at::ones({1})}});
  EXPECT_THROW(Replay(folder / "x.safetensors"), FileError);
  io::write_safetensors(folder / "y.safetensors", {{"a", at::ones({1})}}, {{"images", "not json"}});
  EXPECT_THROW(Replay(folder / "y.safetensors"), FileError);
}

}  // namespace
}  // namespace loraptor::train
