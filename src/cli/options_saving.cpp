// Options of the files that are written, and their metadata.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> saving_options() {
  return group(
      "Output and saving",
      {
          option("--output_dir", FIELD(saving.output_dir), "Folder for models, states and sample images. Mandatory."),
          option("--output_name", FIELD(saving.output_name), "Base name of the model files; default: last."),
          option("--save_model_as", FIELD(saving.save_model_as), "File format; ckpt and pt are refused.")
              .one_of({"ckpt", "pt", "safetensors"}),
          option("--save_precision", FIELD(saving.save_precision), "Type of the saved weights; default: as trained.")
              .one_of({"float", "fp16", "bf16"}),
          option("--no_metadata", FIELD(saving.no_metadata), "Write only the six essential ss_ fields."),
          option("--save_every_n_epochs", FIELD(saving.save_every_n_epochs), "Save after every n-th epoch."),
          option("--save_every_n_steps", FIELD(saving.save_every_n_steps), "Save after every n-th step."),
          option("--save_n_epoch_ratio", FIELD(saving.save_n_epoch_ratio),
                 "Save about this many times; wins over --save_every_n_epochs."),
          option("--save_last_n_epochs", FIELD(saving.save_last_n_epochs),
                 "Keep only the models of the last n epochs."),
          option("--save_last_n_epochs_state", FIELD(saving.save_last_n_epochs_state), "The same for states."),
          option("--save_last_n_steps", FIELD(saving.save_last_n_steps), "Keep only the models of the last n steps."),
          option("--save_last_n_steps_state", FIELD(saving.save_last_n_steps_state), "The same for states."),
          option("--save_state", FIELD(saving.save_state),
                 "Save a state to resume from with each model and at the end."),
          option("--save_state_on_train_end", FIELD(saving.save_state_on_train_end), "Save a state at the end."),
          option("--save_clip", FIELD(saving.save_clip),
                 "Write CLIP-L and CLIP-G with the LoRA merged beside the final LoRA."),
          option("--save_t5xxl", FIELD(saving.save_t5xxl), "Write T5-XXL with the LoRA merged beside the final LoRA."),
          option("--metadata_title", FIELD(model_spec.metadata_title), "Title; default: --output_name."),
          option("--metadata_author", FIELD(model_spec.metadata_author), "Author."),
          option("--metadata_description", FIELD(model_spec.metadata_description), "Description."),
          option("--metadata_license", FIELD(model_spec.metadata_license), "Licence."),
          option("--metadata_tags", FIELD(model_spec.metadata_tags), "Tags, separated by commas."),
          option("--metadata_usage_hint", FIELD(model_spec.metadata_usage_hint), "Usage hint."),
          option("--metadata_thumbnail", FIELD(model_spec.metadata_thumbnail), "Image file or data URL."),
          option("--metadata_merged_from", FIELD(model_spec.metadata_merged_from), "Models this one was merged from."),
          option("--metadata_trigger_phrase", FIELD(model_spec.metadata_trigger_phrase), "Trigger phrase."),
          option("--metadata_preprocessor", FIELD(model_spec.metadata_preprocessor), "Preprocessor."),
          option("--metadata_is_negative_embedding", FIELD(model_spec.metadata_is_negative_embedding),
                 "true or false."),
      });
}

}  // namespace loraptor::cli
