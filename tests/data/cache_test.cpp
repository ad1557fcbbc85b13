// Caches on disk: the reference's files are judged as recorded, written files equal its files, stale ones are found.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/cache_check.h"
#include "data/cache_claim.h"
#include "data/dataset_build.h"
#include "data/golden_size.h"
#include "io/image.h"
#include "support/golden.h"
#include "support/refusal.h"
#include "support/temp_folder.h"

namespace loraptor::data {
namespace {

using test::refusal;

namespace fs = std::filesystem;
using nlohmann::json;

fs::path golden(const std::string& name) { return test::golden_folder() / "data/npz" / name; }

StoredLatents made_latents(const Size& bucket, double value) {
  StoredLatents stored;
  stored.latents = at::full({16, bucket.height / 8, bucket.width / 8}, value);
  stored.original = {100, 75};
  stored.crop_ltrb = {5, 0, 90, 64};
  return stored;
}

TEST(GoldenLatentsCache, FilesAreJudgedAsTheReferenceDoesOrMoreStrictly) {
  int accepted = 0, refused = 0;
  const auto expected = test::read_golden_json(golden("expected.json"));
  for (const auto& check : expected["checks"]) {
    const std::string name = check["file"];
    if (!check.contains("flip_aug")) continue;
    const LatentsRequest request{size_of(check["bucket"]), check["flip_aug"], check["alpha_mask"]};
    const auto finding = check_latents_cache(golden(name), request);
    const bool is_bad = name.starts_with("bad_");
    if (!is_bad) {
      EXPECT_EQ(finding.state == CacheState::usable, check["valid"] == true) << check;
    }
    if (check["valid"] == false) {
      EXPECT_NE(finding.state, CacheState::usable) << check;
    }
    if (check["valid"].is_string()) {
      EXPECT_EQ(finding.state, CacheState::unusable) << check;
      EXPECT_NE(finding.why.find(name), std::string::npos) << finding.why;
    }
    (finding.state == CacheState::usable ? accepted : refused)++;
  }
  EXPECT_GT(accepted, 10);
  EXPECT_GT(refused, 60);
}

TEST(GoldenLatentsCache, LoadedArraysHaveTheRecordedShapesAndBadOnesAreNeverUsed) {
  int loaded = 0;
  const auto expected = test::read_golden_json(golden("expected.json"));
  for (const auto& check : expected["checks"]) {
    const std::string name = check["file"];
    if (!check.contains("load") || !check.contains("bucket")) continue;
    LatentsRequest request{size_of(check["bucket"]), false, false};
    if (name.starts_with("bad_") || check["load"].is_string()) {
      EXPECT_NE(refusal([&] { read_latents_cache(golden(name), request); }), "") << check;
      continue;
    }
    const auto& want = check["load"];
    request.flipped = want["has_flipped"];
    request.mask = !want["alpha_mask"].is_null();
    const StoredLatents got = read_latents_cache(golden(name), request);
    EXPECT_EQ(got.latents.sizes().vec(), want["latents"][1].get<std::vector<int64_t>>());
    EXPECT_EQ(got.latents.scalar_type(), at::kFloat);
    EXPECT_EQ(got.original, size_of(want["original_size"]));
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(got.crop_ltrb[i], want["crop_ltrb"][i].get<double>(), 1e-9);
    if (request.mask) {
      EXPECT_EQ(got.mask->sizes().vec(), want["alpha_mask"].get<std::vector<int64_t>>());
    }
    EXPECT_EQ(got.flipped.defined(), request.flipped);
    ++loaded;
  }
  EXPECT_GE(loaded, 10);
}

TEST(GoldenTextCache, FilesAreJudgedAsTheReferenceDoesOrMoreStrictly) {
  const TextRequest widths{.lg_width = 320, .t5_width = 384};
  int accepted = 0;
  const auto expected = test::read_golden_json(golden("expected.json"));
  for (const auto& check : expected["checks"]) {
    const std::string name = check["file"];
    if (name.find("_sd3_te.npz") == std::string::npos) continue;
    TextRequest request = widths;
    if (check.contains("load")) {
      if (name.starts_with("bad_")) continue;
      for (const bool lg : {false, true}) {
        for (const bool t5 : {false, true}) {
          request.apply_lg_mask = lg;
          request.apply_t5_mask = t5;
          const StoredText got = read_text_cache(golden(name), request);
          EXPECT_EQ(got.t5_out.sizes().vec(), check["load"][1].get<std::vector<int64_t>>());
        }
      }
      continue;
    }
    request.apply_lg_mask = check["apply_lg_attn_mask"];
    request.apply_t5_mask = check["apply_t5_attn_mask"];
    const auto finding = check_text_cache(golden(name), request);
    const bool want = check["valid"] == true && !name.starts_with("bad_");
    EXPECT_EQ(finding.state == CacheState::usable, want) << check << finding.why;
    accepted += want ? 1 : 0;
  }
  EXPECT_EQ(accepted, 3);
  EXPECT_EQ(check_text_cache(golden("bad_te_width_sd3_te.npz"), {.apply_t5_mask = true, .lg_width = 320}).state,
            CacheState::unusable);
}

TEST(GoldenLatentsCache, WrittenFilesHaveTheNamesDtypesAndShapesOfTheReference) {
  const test::TempFolder folder;
  const auto expected = test::read_golden_json(golden("expected.json"));
  for (const auto& item : expected["latents"]) {
    const fs::path image = folder / item["image"].get<std::string>();
    const fs::path path = latents_cache_path(image, size_of(item["image_size"]));
    EXPECT_EQ(path.filename().string(), item["npz"].get<std::string>());
    const LatentsRequest request{size_of(item["bucket"]), item.value("flip_aug", false),
                                 item.value("alpha_mask", false)};
    EXPECT_EQ(latents_part(request.bucket), item["suffix"].get<std::string>());
    const StoredLatents theirs = read_latents_cache(golden(path.filename().string()), request);
    EXPECT_EQ(stored_crop_box(request.bucket, size_of(item["image_size"])), theirs.crop_ltrb) << item;
    write_latents_cache(path, request.bucket, theirs);
  }
  for (const auto& item : expected["latents"]) {
    const std::string name = item["npz"];
    const io::NpzFile ours(folder / name);
    EXPECT_EQ(ours.names().size(), expected["files"][name].size());
    const io::NpzFile theirs(golden(name));
    for (const auto& key : theirs.names()) EXPECT_EQ(ours.read_bytes(key), theirs.read_bytes(key)) << name << key;
  }
}

TEST(GoldenTextCache, WrittenFilesAreThoseOfTheReference) {
  const test::TempFolder folder;
  const auto expected = test::read_golden_json(golden("expected.json"));
  for (const auto& item : expected["text"]) {
    const std::string name = item["npz"];
    const TextRequest request{.apply_lg_mask = item["apply_lg_attn_mask"], .apply_t5_mask = item["apply_t5_attn_mask"]};
    StoredText text = read_text_cache(golden(name), request);
    if (item["encoder_dtype"] == "float16") {
      for (at::Tensor* numbers : {&text.lg_out, &text.t5_out, &text.lg_pooled}) *numbers = numbers->to(at::kHalf);
    }
    write_text_cache(folder / name, request, text);
    const io::NpzFile ours(folder / name), theirs(golden(name));
    EXPECT_EQ(ours.names().size(), theirs.names().size());
    for (const auto& key : theirs.names()) EXPECT_EQ(ours.read_bytes(key), theirs.read_bytes(key)) << name << key;
  }
}

TEST(LatentsCache, AnotherResolutionAndForeignArraysAreKeptAndDamageIsReplaced) {
  const test::TempFolder folder;
  const fs::path path = folder / "a_0100x0075_sd3.npz";
  fs::copy_file(golden("ok_extra_keys_0100x0075_sd3.npz"), path);
  write_latents_cache(path, {64, 64}, made_latents({64, 64}, 2));
  const io::NpzFile file(path);
  for (const char* key : {"note", "latents_99x99", "latents_8x12", "latents_8x8"}) EXPECT_TRUE(file.has(key)) << key;
  write_file(path, "no archive");
  write_latents_cache(path, {64, 64}, made_latents({64, 64}, 3));
  EXPECT_EQ(read_latents_cache(path, {{64, 64}}).latents[0][0][0].item<float>(), 3);
}

/// Three drawn variants whose first numbers are 1, 2 and 3.
std::vector<StoredLatents> made_variants(const Size& bucket) {
  std::vector<StoredLatents> variants;
  for (int number = 1; number <= 3; ++number) variants.push_back(made_latents(bucket, number));
  return variants;
}

TEST(LatentsCache, DrawnVariantsComeBackByNumberBesideThePlainImage) {
  const test::TempFolder folder;
  const fs::path path = folder / "a_0100x0075_sd3.npz";
  const Size bucket{64, 64};
  const std::string contents = write_latents_variants(path, bucket, made_variants(bucket));
  EXPECT_EQ(check_latents_cache(path, {bucket}).state, CacheState::absent);
  write_latents_cache(path, bucket, made_latents(bucket, 9));
  EXPECT_EQ(read_latents_cache(path, {bucket}).latents[0][0][0].item<float>(), 9);
  for (const int64_t wanted : {2, 3}) {
    const auto finding = check_latents_cache(path, {.bucket = bucket, .variants = wanted});
    EXPECT_EQ(finding.state, CacheState::usable) << finding.why;
    EXPECT_EQ(finding.contents, contents) << "what was recorded is found by a run that wants fewer";
    EXPECT_EQ(read_latents_cache(path, {.bucket = bucket, .variants = 3}, wanted).latents[0][0][0].item<float>(),
              wanted);
  }
  EXPECT_EQ(check_latents_cache(path, {.bucket = bucket, .variants = 4}).state, CacheState::absent);
}

TEST(LatentsCache, PosteriorsComeBackAndAreAskedFor) {
  const test::TempFolder folder;
  const fs::path path = folder / "a_0100x0075_sd3.npz";
  const Size bucket{64, 64};
  StoredLatents stored = made_latents(bucket, 1);
  stored.flipped = stored.latents + 1;
  write_latents_cache(path, bucket, stored);
  const LatentsRequest request{.bucket = bucket, .flipped = true, .moments = true};
  EXPECT_EQ(check_latents_cache(path, request).state, CacheState::absent);
  stored.moments = at::full({32, 8, 8}, 5.0);
  write_latents_cache(path, bucket, stored);
  EXPECT_EQ(check_latents_cache(path, request).state, CacheState::absent) << "the mirrored image's are missing";
  stored.flipped_moments = at::full({32, 8, 8}, 6.0);
  write_latents_cache(path, bucket, stored);
  ASSERT_EQ(check_latents_cache(path, request).state, CacheState::usable);
  const StoredLatents got = read_latents_cache(path, request);
  EXPECT_TRUE(got.moments.equal(stored.moments.to(at::kFloat)));
  EXPECT_TRUE(got.flipped_moments.equal(stored.flipped_moments.to(at::kFloat)));
  EXPECT_FALSE(read_latents_cache(path, {bucket}).moments.defined());
  stored.moments = at::full({16, 8, 8}, 5.0);
  write_latents_cache(path, bucket, stored);
  EXPECT_EQ(check_latents_cache(path, request).state, CacheState::unusable);
}

TEST(LatentsCache, AMisreadWebpIsFound) {
  const test::TempFolder folder;
  EXPECT_EQ(latents_cache_path(folder / "a.webp", {640, 480}).filename(), "a_0640x0480_sd3.npz");
  write_file(folder / "a_0639x0479_sd3.npz", "x");
  EXPECT_EQ(latents_cache_path(folder / "a.webp", {640, 480}).filename(), "a_0639x0479_sd3.npz");
  EXPECT_EQ(latents_cache_path(folder / "a.png", {12345, 9}).filename(), "a_12345x0009_sd3.npz");
}

TEST(CacheIndex, RecordsOfSeveralWritersAreMergedAndComeBack) {
  const test::TempFolder folder;
  CacheIndex first(folder.path()), second(folder.path());
  first.add("a.npz", "8x8", "01", {{"vae", "x"}});
  second.add("b.npz", "text", "02", {{"caption", "y"}});
  first.flush();
  second.flush();
  const CacheIndex all(folder.path());
  ASSERT_NE(all.find("a.npz", "8x8", "01"), nullptr);
  ASSERT_NE(all.find("b.npz", "text", "02"), nullptr);
  EXPECT_EQ(all.find("b.npz", "text", "03"), nullptr) << "a file that another program replaced has no record";
  EXPECT_EQ(all.find("b.npz", "text", "02")->at("caption"), "y");
}

TEST(FaultCacheIndex, WhatAKilledProcessAddedIsKnown) {
  const test::TempFolder folder;
  CacheIndex(folder.path()).add("a.npz", "8x8", "01", {{"vae", "x"}});                               // never flushed
  std::ofstream(folder / ".loraptor_cache.journal", std::ios::app) << "{\"file\": \"b.npz\", \"pa";  // cut off
  CacheIndex next(folder.path());
  ASSERT_NE(next.find("a.npz", "8x8", "01"), nullptr);
  EXPECT_EQ(next.find("a.npz", "8x8", "01")->at("vae"), "x");
  next.add("c.npz", "text", "02", {});
  EXPECT_NE(CacheIndex(folder.path()).find("c.npz", "text", "02"), nullptr) << "after the line that was cut off";
  next.flush();
  EXPECT_FALSE(fs::exists(folder / ".loraptor_cache.journal"));
  const CacheIndex all(folder.path());
  EXPECT_NE(all.find("a.npz", "8x8", "01"), nullptr);
  EXPECT_NE(all.find("c.npz", "text", "02"), nullptr);
}

TEST(FormatCacheIndex, AnUnreadableRecordIsStartedAnew) {
  for (const char* text :
       {"", "{", "[]", "{\"format\":1}", "{\"format\":1,\"caches\":{\"a\":{\"b\":{\"contents\":1}}}}"}) {
    const test::TempFolder folder;
    write_file(folder / "loraptor_cache.json", text);
    CacheIndex index(folder.path());
    EXPECT_EQ(index.find("a", "b", "1"), nullptr);
    index.add("a", "b", "1", {});
    index.flush();
    EXPECT_NE(CacheIndex(folder.path()).find("a", "b", "1"), nullptr);
  }
}

TEST(CacheIndex, AnImageIsKnownByItsBytesNotByItsTime) {
  const test::TempFolder folder;
  write_file(folder / "a.png", "abc");
  const CacheFacts facts = image_facts(folder / "a.png");
  EXPECT_TRUE(is_same_image(facts, folder / "a.png"));
  fs::last_write_time(folder / "a.png", fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_TRUE(is_same_image(facts, folder / "a.png"));
  write_file(folder / "a.png", "abd");
  EXPECT_FALSE(is_same_image(facts, folder / "a.png"));
  write_file(folder / "a.png", "abcd");
  EXPECT_FALSE(is_same_image(facts, folder / "a.png"));
}

TEST(FaultCacheClaim, AClaimEndsWithItsProcessAndItsRemainsAreRemoved) {
  const test::TempFolder folder;
  const fs::path cache = folder / "a_sd3_te.npz";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto claim = claim_cache(cache, false);
    std::ofstream(cache.string() + ".tmp-1") << "half";
    char told = claim ? 'y' : 'n';
    if (::write(ready[1], &told, 1) != 1) ::_exit(1);
    ::pause();
  }
  char told = 0;
  ASSERT_EQ(::read(ready[0], &told, 1), 1);
  EXPECT_EQ(told, 'y');
  EXPECT_FALSE(claim_cache(cache, false).has_value());
  remove_abandoned_caches(folder.path());
  EXPECT_TRUE(fs::exists(cache.string() + ".tmp-1")) << "it is being written";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  remove_abandoned_caches(folder.path());
  EXPECT_FALSE(fs::exists(cache.string() + ".tmp-1"));
  EXPECT_TRUE(claim_cache(cache, false).has_value());
}

/// One image with its two caches, and their record.
class StaleCaches : public testing::TestWithParam<CacheFormat> {
 protected:
  StaleCaches() {
    fs::copy_file(test::golden_folder() / "data/images/rgb.png", folder_ / "rgb.png");
    write_file(folder_ / "rgb.txt", "a caption");
    const Dataset dataset = scan();
    const ImageEntry& image = dataset.images().front();
    const Size bucket = image.geometry.bucket;
    const auto store = make_cache_store(GetParam());
    const fs::path latents = latents_cache_path(image.path, {image.width, image.height});
    CacheFacts facts = image_facts(image.path);
    facts.merge(latents_facts(dataset, image));
    const std::string part = latents_part(bucket);
    const auto made = store->write(latents, part, latents_arrays(bucket, {made_latents(bucket, 1)}, false), facts);
    store->record(latents, part, latents_contents(*made, bucket, false), facts);
    const fs::path text = text_cache_path(image.path);
    const TextRequest request{};
    const auto arrays = text_arrays(request, read_text_cache(golden("rgb_sd3_te.npz"), request));
    const CacheFacts from = text_facts(image.caption);
    store->record(text, kTextPart, text_contents(*store->write(text, kTextPart, arrays, from)), from);
    store->finish();
  }
  Dataset scan() const {
    DataConfig flags;
    write_file(folder_ / "data.toml", fmt::format("[[datasets]]\nresolution = 64\n[[datasets.subsets]]\n"
                                                  "image_dir = '{}'\ncaption_extension = '.txt'\n{}\n",
                                                  folder_.path().string(), extra_));
    flags.dataset_config = (folder_ / "data.toml").string();
    return Dataset::build(flags, 1);
  }
  test::TempFolder folder_;
  std::string extra_;
};

TEST_P(StaleCaches, ArraysOfAnotherSourceAreGoneAndThoseOfTheSameStay) {
  const Dataset dataset = scan();
  const std::string image(dataset.images().front().path);
  const Size bucket{64, 64};
  const fs::path cache = folder_ / "rgb_0100x0075_sd3.npz";
  const std::string part = latents_part(bucket), other = latents_part({72, 64});
  const auto store = make_cache_store(GetParam());
  const auto write = [&](const std::string& vae, const StoredLatents& stored) {
    const CacheFacts facts{{"vae", vae}};
    io::NamedTensors arrays = latents_arrays(bucket, {stored}, false);
    const auto earlier = latents_of_same_sources(*store, cache, image, bucket, false, facts);
    if (earlier) arrays = completed_arrays(*earlier, bucket, false, std::move(arrays));
    CacheFacts all = image_facts(image);
    all.insert(facts.begin(), facts.end());
    auto file = store->write(cache, part, arrays, all);
    store->record(cache, part, latents_contents(*file, bucket, false), all);
    return file;
  };
  store->write(cache, other, latents_arrays({72, 64}, {made_latents({72, 64}, 7)}, false), {});
  StoredLatents flipped = made_latents(bucket, 1), masked = made_latents(bucket, 2);
  flipped.flipped = flipped.latents + 10;
  masked.mask = at::ones({64, 64});
  EXPECT_TRUE(write("one", flipped)->has("latents_flipped_8x8"));

  const auto both = write("one", masked);
  EXPECT_TRUE(both->has("latents_flipped_8x8") && both->has("alpha_mask_8x8"));
  EXPECT_EQ(both->read("latents_8x8")[0][0][0].item<float>(), 1) << "what others may use is not replaced";

  const auto remade = write("two", made_latents(bucket, 3));
  EXPECT_FALSE(remade->has("latents_flipped_8x8") || remade->has("alpha_mask_8x8"));
  EXPECT_EQ(remade->read("latents_8x8")[0][0][0].item<float>(), 3);
  EXPECT_NE(store->open(cache, other), nullptr);
  EXPECT_TRUE(store->open(cache, other)->has("latents_9x8") || store->open(cache, other)->has("latents_8x9"));
}

TEST(LatentsCache, ArraysBelongToTheirPart) {
  EXPECT_TRUE(is_latents_array("latents_flipped_16x24", "16x24"));
  EXPECT_FALSE(is_latents_array("latents_116x24", "16x24"));
  EXPECT_FALSE(is_latents_array("latents_16x24_v2", "16x24"));
  EXPECT_TRUE(is_latents_array("alpha_mask_16x24_v12", "16x24_v"));
  EXPECT_FALSE(is_latents_array("latents_16x24", "16x24_v"));
  EXPECT_FALSE(is_latents_array("clip_text", "text"));
  EXPECT_FALSE(is_latents_array("notes_16x24", "16x24"));
}

TEST_P(StaleCaches, NothingIsStaleAtFirst) { EXPECT_TRUE(stale_caches(scan()).empty()); }

TEST_P(StaleCaches, AnEditedCaptionIsNamed) {
  write_file(folder_ / "rgb.txt", "another caption");
  const auto stale = stale_caches(scan());
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_EQ(stale[0].path.filename(), "rgb_sd3_te.npz");
  EXPECT_EQ(stale[0].why, "the caption was changed");
}

TEST_P(StaleCaches, AnEditedImageIsNamed) {
  std::ofstream(folder_ / "rgb.png", std::ios::app) << "x";
  const auto stale = stale_caches(scan());
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_EQ(stale[0].path.filename(), "rgb_0100x0075_sd3.npz");
}

TEST_P(StaleCaches, AnImageOfAnotherSizeIsNotSqueezedIntoThatOfItsCache) {
  fs::copy_file(test::golden_folder() / "data/images/tall.png", folder_ / "rgb.png",
                fs::copy_options::overwrite_existing);
  const auto [width, height] = io::read_image_size((folder_ / "rgb.png").string());
  const Size now{width, height};
  ASSERT_NE(now, (Size{100, 75}));
  ScanFindings findings;
  DataConfig flags;
  const auto size_found = [&] {
    findings = {};
    flags.dataset_config = (folder_ / "data.toml").string();
    return scan_datasets(flags, &findings).subsets.front().front().images.front().size;
  };
  testing::internal::CaptureStderr();
  EXPECT_EQ(size_found(), now);
  EXPECT_TRUE(findings.squeezed.empty());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("its latent cache was made when it was 100x75") != std::string::npos,
            GetParam() == CacheFormat::npz)
      << log;

  // Without a record the cache may be another program's, whose name counts.
  fs::remove(folder_ / "loraptor_cache.json");
  EXPECT_EQ(size_found(), GetParam() == CacheFormat::npz ? (Size{100, 75}) : now);
  EXPECT_EQ(findings.squeezed.size(), GetParam() == CacheFormat::npz ? 1u : 0u);
}

TEST_P(StaleCaches, AnotherInterpolationIsNamed) {
  extra_ = "resize_interpolation = 'area'";
  const auto stale = stale_caches(scan());
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_NE(stale[0].why.find("interpolation"), std::string::npos) << stale[0].why;
}

TEST_P(StaleCaches, NumbersThatAreNotFiniteAreNamed) {
  const Dataset dataset = scan();
  const ImageEntry& image = dataset.images().front();
  const Size bucket = image.geometry.bucket;
  StoredLatents bad = made_latents(bucket, 1);
  bad.latents[3][2][1] = std::numeric_limits<float>::quiet_NaN();
  const auto store = make_cache_store(GetParam());
  const fs::path latents = latents_cache_path(image.path, {image.width, image.height});
  store->write(latents, latents_part(bucket), latents_arrays(bucket, {bad}, false), {});
  store->finish();
  const auto stale = stale_caches(dataset);
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_NE(stale[0].why.find("got NaN or infinity"), std::string::npos) << stale[0].why;
}

TEST_P(StaleCaches, DrawnOnesAndThoseOfNoCaptionAreReadToo) {
  const Dataset dataset = scan();
  const ImageEntry& image = dataset.images().front();
  const Size bucket = image.geometry.bucket;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto store = make_cache_store(GetParam());
  const fs::path latents = latents_cache_path(image.path, {image.width, image.height});
  std::vector<StoredLatents> drawn{made_latents(bucket, 1), made_latents(bucket, 2)};
  drawn[1].latents[0][0][0] = nan;
  store->write(latents, latents_part(bucket, true), latents_arrays(bucket, drawn, true), {});
  StoredText text = read_text_cache(golden("rgb_sd3_te.npz"), {});
  store->write(text_cache_path(image.path, 1), kTextPart, text_arrays({}, text), {});
  text.t5_out[0][0] = nan;
  const fs::path second = text_cache_path(image.path, 2), empty = empty_text_cache_path(folder_.path());
  store->write(second, kTextPart, text_arrays({}, text), {});
  store->write(empty, kTextPart, text_arrays({}, text), {});
  store->finish();
  std::set<std::string> names;
  for (const StaleCache& cache : stale_caches(dataset)) {
    EXPECT_TRUE(cache.is_damaged_inside) << cache.why;
    names.insert(cache.path.filename().string());
  }
  EXPECT_EQ(names, (std::set<std::string>{latents.filename().string(), second.filename().string(),
                                          empty.filename().string()}));
}

TEST_P(StaleCaches, DamagedBytesAreNamed) {
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with("_sd3.npz") || name.ends_with(".shard")) {
      std::string bytes = read_file(entry.path());
      bytes[1500] = static_cast<char>(bytes[1500] ^ 1);  // within the latents
      write_file(entry.path(), bytes);
    }
  }
  const auto stale = stale_caches(scan());
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_NE(stale[0].why.find(GetParam() == CacheFormat::npz ? "CRC error" : "got a wrong checksum"), std::string::npos)
      << stale[0].why;
  EXPECT_NE(stale[0].why.find("Hint: "), std::string::npos);
}

TEST_P(StaleCaches, WhatAnotherProgramPutInPlaceMeanwhileIsNotTaken) {
  const Dataset dataset = scan();
  const ImageEntry& image = dataset.images().front();
  const Size bucket = image.geometry.bucket;
  const LatentsRequest request = latents_request(dataset, image);
  const TextRequest text_request{};
  const fs::path latents = latents_cache_path(image.path, {image.width, image.height});
  const fs::path text = text_cache_path(image.path);
  const auto ours = make_cache_store(GetParam()), theirs = make_cache_store(GetParam());
  const auto load = [&] {
    load_text(*ours, text, text_request);
    return load_latents(*ours, latents, request, 0).latents[0][0][0].item<float>();
  };
  EXPECT_EQ(find_latents_cache(dataset, image, *ours, latents_facts(dataset, image)).state, CacheState::usable);
  EXPECT_EQ(find_text_cache(text, *ours, text_request, text_facts(image.caption)).state, CacheState::usable);
  EXPECT_EQ(load(), 1);

  StoredLatents more = made_latents(bucket, 1);
  more.flipped = more.latents;
  theirs->write(latents, latents_part(bucket), latents_arrays(bucket, {more}, false), {});
  EXPECT_EQ(load(), 1) << "what this run uses is there unchanged";

  theirs->write(latents, latents_part(bucket), latents_arrays(bucket, {made_latents(bucket, 2)}, false), {});
  StoredText other = load_text(*theirs, text, text_request);
  other.t5_out = other.t5_out + 1;
  theirs->write(text, kTextPart, text_arrays(text_request, other), {});
  theirs->finish();
  if (GetParam() == CacheFormat::shard) {
    EXPECT_EQ(load(), 1) << "records stay where they are";
    return;
  }
  for (const auto& read : std::vector<std::function<void()>>{[&] { load_text(*ours, text, text_request); },
                                                             [&] { load_latents(*ours, latents, request, 0); }}) {
    EXPECT_NE(refusal(read).find("another program replaced the file"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, StaleCaches, testing::Values(CacheFormat::npz, CacheFormat::shard),
                         [](const auto& info) { return info.param == CacheFormat::npz ? "npz" : "shard"; });

TEST_P(StaleCaches, WithoutARecordNpzCachesAreTrusted) {
  if (GetParam() == CacheFormat::shard) GTEST_SKIP() << "records of shards have no file of their own";
  fs::remove(folder_ / "loraptor_cache.json");
  write_file(folder_ / "rgb.txt", "another caption");
  EXPECT_TRUE(stale_caches(scan()).empty());
}

}  // namespace
}  // namespace loraptor::data
