// What happens to a stored caption each time its image is used.
#include "data/caption_transform.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/python_text.h"

namespace loraptor::data {
namespace {

// Doubled braces are literal ones. While wildcards are resolved these bytes, which no UTF-8 text holds, stand for them.
constexpr std::string_view kOpen = "\xfe", kClose = "\xff";

const std::string& choose(const std::vector<std::string>& items, PythonRandom& random) {
  return items[random.below(items.size())];
}

std::string resolve_wildcards(const std::string& caption, PythonRandom& random) {
  const std::string text = replace_all(replace_all(caption, "{{", kOpen), "}}", kClose);
  std::string result;
  size_t at = 0;
  while (at < text.size()) {
    const size_t close = text[at] == '{' ? text.find('}', at) : std::string::npos;
    if (close == std::string::npos || close == at + 1) {
      result += text[at++];
      continue;
    }
    result += choose(split(text.substr(at + 1, close - at - 1), "|"), random);
    at = close + 1;
  }
  return replace_all(replace_all(result, kOpen, "{"), kClose, "}");
}

struct Tags {
  std::vector<std::string> fixed, flexible, suffix;
};

std::vector<std::string> stripped_pieces(const std::string& text, const std::string& separator, bool keep_empty) {
  std::vector<std::string> pieces = split(text, separator);
  for (std::string& piece : pieces) piece = strip(piece);
  if (!keep_empty) std::erase_if(pieces, [](const std::string& piece) { return piece.empty(); });
  return pieces;
}

Tags split_tags(const CaptionConfig& config, const std::string& caption) {
  const std::string& marker = config.keep_tokens_separator;
  Tags tags;
  if (marker.empty() || caption.find(marker) == std::string::npos) {
    tags.flexible = stripped_pieces(strip(caption), config.caption_separator, true);
    const auto kept = std::clamp<int64_t>(config.keep_tokens, 0, static_cast<int64_t>(tags.flexible.size()));
    tags.fixed.assign(tags.flexible.begin(), tags.flexible.begin() + kept);
    tags.flexible.erase(tags.flexible.begin(), tags.flexible.begin() + kept);
    return tags;
  }
  const size_t first = caption.find(marker);
  tags.fixed = stripped_pieces(caption.substr(0, first), config.caption_separator, false);
  std::string rest = caption.substr(first + marker.size());
  if (const size_t second = rest.find(marker); second != std::string::npos) {
    tags.suffix = stripped_pieces(rest.substr(second + marker.size()), config.caption_separator, false);
    rest.resize(second);
  }
  tags.flexible = stripped_pieces(rest, config.caption_separator, false);
  return tags;
}

/// Keeps the first tags only, more of them as the steps go on.
void warm_up(std::vector<std::string>& tags, const CaptionConfig& config, const CaptionMoment& moment) {
  double steps = config.token_warmup_step;
  if (steps < 1) steps = std::floor(steps * static_cast<double>(moment.max_train_steps));
  const auto step = static_cast<double>(moment.step);
  if (steps == 0 || step >= steps) return;
  const auto count = static_cast<int64_t>(tags.size());
  auto kept = static_cast<int64_t>(std::floor(step * (static_cast<double>(count - config.token_warmup_min) / steps))) +
              config.token_warmup_min;
  if (kept < 0) kept = std::max<int64_t>(0, count + kept);  // as a negative end of a Python slice
  if (kept < count) tags.resize(static_cast<size_t>(kept));
}

std::string rearrange_tags(const CaptionConfig& config, const std::string& caption, const CaptionMoment& moment,
                           PythonRandom& random) {
  Tags tags = split_tags(config, caption);
  warm_up(tags.flexible, config, moment);
  if (config.shuffle_caption) random.shuffle(tags.flexible);
  std::vector<std::string> all = tags.fixed;
  for (std::string& tag : tags.flexible) {
    if (config.caption_tag_dropout_rate <= 0 || random.random() >= config.caption_tag_dropout_rate) {
      all.push_back(std::move(tag));
    }
  }
  all.insert(all.end(), tags.suffix.begin(), tags.suffix.end());
  return join(all, ", ");
}

}  // namespace

bool drops_caption(const CaptionConfig& config, const CaptionMoment& moment, PythonRandom& random) {
  const bool drawn = config.caption_dropout_rate > 0 && random.random() < config.caption_dropout_rate;
  const int64_t every = config.caption_dropout_every_n_epochs;
  return drawn || (every > 0 && moment.epoch % every == 0);
}

std::string transform_caption(const CaptionConfig& config, std::string_view caption, const CaptionMoment& moment,
                              PythonRandom& random) {
  std::string text(caption);
  if (config.caption_prefix && !config.caption_prefix->empty()) text = *config.caption_prefix + " " + text;
  if (config.caption_suffix && !config.caption_suffix->empty()) text = text + " " + *config.caption_suffix;

  if (drops_caption(config, moment, random)) return "";

  const std::vector<std::string> lines = split(text, "\n");
  if (config.enable_wildcard) {
    text = resolve_wildcards(lines.size() > 1 ? choose(lines, random) : text, random);
  } else {
    text = lines.front();
  }
  if (config.works_on_tags()) text = rearrange_tags(config, text, moment, random);
  if (config.secondary_separator && !config.secondary_separator->empty()) {
    text = replace_all(text, *config.secondary_separator, config.caption_separator);
  }
  return text;
}

}  // namespace loraptor::data
