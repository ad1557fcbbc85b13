// Options of the data set.
#include "cli/option_table.h"

namespace loraptor::cli {

namespace {

std::vector<Option> image_rows() {
  return {
      option("--dataset_config", FIELD(data.dataset_config),
             "TOML or JSON description of the data sets; its values win over the options of this group."),
      option("--train_data_dir", FIELD(data.train_data_dir),
             "Folder with subfolders <repeats>_<class tokens> of images, when there is no --dataset_config."),
      option("--reg_data_dir", FIELD(data.reg_data_dir), "The same for regularisation images."),
      option("--in_json", FIELD(data.in_json), "JSON or JSONL metadata file: captions come from it."),
      option("--dataset_repeats", FIELD(data.dataset_repeats), "Repeats of a subset that has no num_repeats."),
      option("--train_batch_size", FIELD(data.train_batch_size), "Images per micro-step."),
      option("--resolution", FIELD(data.resolution), "Training resolution: N or W,H. Mandatory somewhere."),
      option("--enable_bucket", FIELD(data.enable_bucket), "Sort images into buckets of similar aspect ratio."),
      option("--min_bucket_reso", FIELD(data.min_bucket_reso), "Smallest bucket side in pixels."),
      option("--max_bucket_reso", FIELD(data.max_bucket_reso), "Largest bucket side in pixels."),
      option("--bucket_reso_steps", FIELD(data.bucket_reso_steps), "Grid of bucket sides; a multiple of 32."),
      option("--bucket_no_upscale", FIELD(data.bucket_no_upscale),
             "Make buckets from the images' own sizes; nothing is enlarged."),
      option("--resize_interpolation", FIELD(data.resize_interpolation),
             "Resize filter; default: area when shrinking, else lanczos.")
          .one_of({"lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"}),
  };
}

std::vector<Option> caption_rows() {
  return {
      option("--caption_extension", FIELD(data.caption_extension), "Extension of caption files."),
      option("--caption_extention", FIELD(data.caption_extention), "Old misspelling of --caption_extension; wins."),
      option("--caption_separator", FIELD(data.caption_separator), "What separates the tags of a caption."),
      option("--shuffle_caption", FIELD(data.shuffle_caption), "Shuffle the tags each time."),
      option("--keep_tokens", FIELD(data.keep_tokens), "Leading tags that stay in place when shuffling."),
      option("--keep_tokens_separator", FIELD(data.keep_tokens_separator),
             "Mark between fixed, shuffled and fixed last parts of a caption."),
      option("--secondary_separator", FIELD(data.secondary_separator),
             "Replaced by the caption separator after shuffling."),
      option("--enable_wildcard", FIELD(data.enable_wildcard),
             "{a|b|c} choices, and a random line of captions with several lines."),
      option("--caption_prefix", FIELD(data.caption_prefix), "Text before each caption."),
      option("--caption_suffix", FIELD(data.caption_suffix), "Text after each caption."),
      option("--caption_dropout_rate", FIELD(data.caption_dropout_rate), "Probability of an empty caption."),
      option("--caption_dropout_every_n_epochs", FIELD(data.caption_dropout_every_n_epochs),
             "Empty captions in every n-th epoch."),
      option("--caption_tag_dropout_rate", FIELD(data.caption_tag_dropout_rate), "Probability that a tag is dropped."),
      option("--token_warmup_min", FIELD(data.token_warmup_min), "Tags at step 0 of the tag warm-up."),
      option("--token_warmup_step", FIELD(data.token_warmup_step),
             "Step, or fraction of the run below 1, from which all tags are used."),
  };
}

std::vector<Option> sample_rows() {
  return {
      option("--color_aug", FIELD(data.color_aug), "Weak changes of hue and gamma."),
      option("--flip_aug", FIELD(data.flip_aug), "Mirror images at random."),
      option("--face_crop_aug_range", FIELD(data.face_crop_aug_range), "Zoom range min,max of crops around faces."),
      option("--random_crop", FIELD(data.random_crop), "Random instead of centred crops."),
      option("--alpha_mask", FIELD(data.alpha_mask), "Use the alpha channel as a mask of the loss."),
      option("--masked_loss", FIELD(data.masked_loss), "Multiply the loss by mask images of conditioning_data_dir."),
      option("--prior_loss_weight", FIELD(data.prior_loss_weight), "Loss weight of regularisation images."),
      option("--validation_split", FIELD(data.validation_split), "Fraction of the images set aside for validation."),
      option("--validation_seed", FIELD(data.validation_seed), "Seed of the split and of validation."),
      option("--max_data_loader_n_workers", FIELD(data.max_data_loader_n_workers),
             "Threads that load images; 0: load in the training thread."),
      option("--persistent_data_loader_workers", FIELD(data.persistent_data_loader_workers),
             "Keep the loading threads between epochs.")
          .no_effect("the loading threads always stay")
          .silent(),
      option("--cache_info", FIELD(data.cache_info), "Keep captions and sizes in metadata_cache.json per folder."),
      option(
          "--debug_dataset", FIELD(data.debug_dataset),
          "Print the batches of the first epoch as training gets them (crops, captions, token ids) and end; no model "
          "is needed."),
  };
}

}  // namespace

std::vector<Option> dataset_options() {
  std::vector<Option> rows = image_rows();
  for (auto part : {caption_rows, sample_rows}) {
    for (Option& row : part()) rows.push_back(std::move(row));
  }
  return group("Data set", std::move(rows));
}

}  // namespace loraptor::cli
