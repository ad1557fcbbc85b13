// As argparse does, words are first told apart (option or value) without looking at their neighbours, then consumed.
#include "cli/option_parse.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/suggest.h"
#include "cli/option_table.h"
#include "cli/option_value.h"

namespace loraptor::cli {
namespace {

struct Word {
  std::string text{};
  bool is_option = false;
  const Option* option = nullptr;          // null for an option that is unknown or ambiguous
  std::optional<std::string> own_value{};  // after `=`
};

/// Python's pattern ^-\d+$|^-\d*\.\d+$
bool is_negative_number(const std::string& word) {
  if (word.size() < 2 || word[0] != '-') return false;
  const size_t dot = word.find('.');
  const auto all_digits = [](std::string_view part) {
    return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (dot == std::string::npos) return all_digits(std::string_view(word).substr(1));
  return dot + 1 < word.size() && all_digits(std::string_view(word).substr(1, dot - 1)) &&
         all_digits(std::string_view(word).substr(dot + 1));
}

std::string dashed(const std::string& name) { return "--" + name; }

class WordReader {
 public:
  WordReader(const std::vector<std::string>& words, const std::vector<Option>& options, bool allow_plain)
      : words_(words), options_(options), allow_plain_(allow_plain) {}

  ParsedWords read() {
    if (asks_for_help()) return {.options = {}, .wants_help = true};
    classify();
    consume();
    if (!problems_.empty()) throw UsageError(fmt::format("{}", fmt::join(problems_, "\n")));
    return {.options = std::move(given_), .wants_help = false, .plain = std::move(plain_)};
  }

 private:
  bool asks_for_help() const {
    for (const std::string& word : words_) {
      if (word == "--") return false;
      if (word == "-h" || is_help(word)) return true;
    }
    return false;
  }

  /// `--help`, also abbreviated, as far as no option begins like that.
  bool is_help(const std::string& word) const {
    constexpr size_t kDashes = 2;
    if (word.size() <= kDashes || !std::string_view("--help").starts_with(word)) return false;
    return std::none_of(options_.begin(), options_.end(),
                        [&](const Option& option) { return option.name.starts_with(word.substr(kDashes)); });
  }

  void classify() {
    bool options_ended = false;
    for (const std::string& text : words_) {
      if (text == "--" && !options_ended) {
        options_ended = true;
        continue;
      }
      classified_.push_back(options_ended ? Word{.text = text} : classified(text));
    }
  }

  Word classified(const std::string& text) {
    Word word{.text = text};
    if (text.size() < 2 || text[0] != '-') return word;
    const size_t equals = text.find('=');
    std::string name = text.rfind("--", 0) == 0 ? text.substr(2) : "";
    if (const Option* exact = find(name)) {
      word.option = exact;
    } else {
      if (equals != std::string::npos) {
        name = name.substr(0, equals >= 2 ? equals - 2 : 0);
        word.own_value = text.substr(equals + 1);
      }
      const bool is_long = text.rfind("--", 0) == 0;
      if (is_long && !name.empty() && (word.option = find(name)) == nullptr) word.option = by_prefix(name, word);
    }
    if (word.option == nullptr && !word.is_option) {
      word.own_value.reset();
      if (is_negative_number(text) || text.find(' ') != std::string::npos) return word;
      add_unknown(text);
    }
    word.is_option = true;
    return word;
  }

  const Option* find(const std::string& name) const {
    const auto found = std::find_if(options_.begin(), options_.end(), [&](const auto& o) { return o.name == name; });
    return found == options_.end() ? nullptr : &*found;
  }

  /// The option that `prefix` abbreviates; null if there is none, or several (then the problem is noted).
  const Option* by_prefix(const std::string& prefix, Word& word) {
    std::vector<const Option*> fitting;
    for (const bool additions : {false, true}) {
      for (const Option& option : options_) {
        if (option.is_addition == additions && option.name.rfind(prefix, 0) == 0) fitting.push_back(&option);
      }
      if (!fitting.empty()) break;
    }
    if (fitting.size() == 1) return fitting[0];
    if (fitting.size() > 1) {
      std::vector<std::string> names;
      for (const Option* option : fitting) names.push_back(dashed(option->name));
      problems_.push_back(fmt::format("[--{}] ambiguous option: got a prefix of {}, expected one of them.", prefix,
                                      fmt::join(names, ", ")));
      word.is_option = true;
    }
    return nullptr;
  }

  void add_unknown(const std::string& text) {
    const std::string flag = text.substr(0, text.find('='));
    std::vector<std::string> flags;
    for (const Option& option : options_) flags.push_back(dashed(option.name));
    const std::string suggestion = did_you_mean(flag, flags);
    problems_.push_back(
        fmt::format("[{}] unknown option.{}", flag,
                    suggestion.empty() ? "\nHint: --help lists all options." : "\nHint: " + suggestion));
  }

  void consume() {
    for (size_t at = 0; at < classified_.size();) {
      const Word& word = classified_[at++];
      if (!word.is_option && allow_plain_) {
        plain_.push_back(word.text);
        continue;
      }
      if (!word.is_option) {
        problems_.push_back(fmt::format("[{}] stray word: got it where an option was expected.", word.text));
        continue;
      }
      // The values of an unknown option are not reported again as stray words.
      std::vector<std::string> values;
      const bool takes_many = word.option == nullptr || is_list(*word.option);
      const size_t limit = word.own_value                    ? 0
                           : takes_many                      ? classified_.size()
                           : word.option->kind == Kind::flag ? 0
                                                             : 1;
      while (values.size() < limit && at < classified_.size() && !classified_[at].is_option) {
        values.push_back(classified_[at++].text);
      }
      if (word.own_value) values.push_back(*word.own_value);
      if (word.option != nullptr) assign(*word.option, values, word.own_value.has_value());
    }
  }

  static bool is_list(const Option& option) { return option.kind == Kind::texts || option.kind == Kind::numbers; }

  void assign(const Option& option, const std::vector<std::string>& values, bool has_own_value) {
    try {
      if (option.kind == Kind::flag) {
        if (has_own_value) {
          throw UsageError(fmt::format("[--{}] flag: got the value '{}', expected none.", option.name, values[0]));
        }
        set(option, true);
      } else if (is_list(option)) {
        set(option, list_of(option, values));
      } else if (values.empty()) {
        throw UsageError(fmt::format("[--{}] value: got nothing, expected one.", option.name));
      } else {
        set(option, parse_word(option, values[0]));
      }
    } catch (const UsageError& error) {
      problems_.push_back(error.what());
    }
  }

  void set(const Option& option, Value value) { given_[option.name] = Given{std::move(value), "command line"}; }

  static Value list_of(const Option& option, const std::vector<std::string>& values) {
    if (option.kind == Kind::numbers) {
      std::vector<double> numbers;
      for (const std::string& text : values) {
        numbers.push_back(std::get<std::vector<double>>(parse_word(option, text))[0]);
      }
      return numbers;
    }
    check_choice(option, values);
    return values;
  }

  const std::vector<std::string>& words_;
  const std::vector<Option>& options_;
  bool allow_plain_;
  std::vector<Word> classified_;
  std::vector<std::string> plain_;
  GivenOptions given_;
  std::vector<std::string> problems_;
};

}  // namespace

ParsedWords parse_words(const std::vector<std::string>& words) { return parse_words(words, all_options(), false); }

ParsedWords parse_words(const std::vector<std::string>& words, const std::vector<Option>& options, bool allow_plain) {
  return WordReader(words, options, allow_plain).read();
}

}  // namespace loraptor::cli
