// Help shows what works first; what has no effect or is refused comes last, in short form.
#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/option_table.h"
#include "cli/option_value.h"

namespace loraptor::cli {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kIndent = 6;

/// Appends `text`, broken at blanks, each line after `indent` blanks.
void append_wrapped(std::string& out, const std::string& text, size_t indent) {
  size_t column = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string word = text.substr(start, end - start);
    if (column == 0) {
      out += std::string(indent, ' ');
      column = indent;
    } else if (column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    start = end + 1;
  }
  out += '\n';
}

const char* placeholder(Kind kind) {
  switch (kind) {
    case Kind::flag: return "";
    case Kind::text: return " TEXT";
    case Kind::integer: return " N";
    case Kind::number: return " X";
    case Kind::steps_or_fraction: return " N|X|P%";
    case Kind::texts: return " [TEXT ...]";
    case Kind::numbers: return " [X ...]";
  }
  return "";
}

/// The default as one would type it; "" if there is none worth showing.
std::string default_text(const Option& option) {
  const bool is_list = option.kind == Kind::texts || option.kind == Kind::numbers;
  if (option.kind == Kind::flag || is_list || std::holds_alternative<std::monostate>(option.default_value)) return "";
  return python_text(option.default_value);
}

std::string status_text(const Option& option) {
  switch (option.status) {
    case Status::works: return "";
    case Status::no_effect: return "no effect: " + option.note;
    case Status::refused: return "refused: " + option.note;
  }
  return "";
}

void append_option(std::string& out, const Option& option) {
  out += fmt::format("  {}--{}{}\n", option.is_addition ? "+ " : "", option.name, placeholder(option.kind));
  std::string text = option.help;
  if (!option.choices.empty()) {
    text += fmt::format("{}Choices: {}.", text.empty() ? "" : " ", fmt::join(option.choices, ", "));
  }
  if (const std::string value = default_text(option); !value.empty()) text += fmt::format(" Default: {}.", value);
  if (const std::string status = status_text(option); !status.empty()) {
    text += fmt::format("{}[{}]", text.empty() ? "" : " ", status);
  }
  append_wrapped(out, text, kIndent);
}

/// Markdown would read '|' as the end of the cell and '<' as HTML.
std::string table_cell(std::string text) {
  for (size_t at = 0; (at = text.find_first_of("|<", at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

std::string usage_text(const std::string& command) {
  for (const Command& known : commands()) {
    if (command == known.name && command != "train") {
      return fmt::format("usage: loraptor {0} ...\n       loraptor {0} --help lists its options\n", command);
    }
  }
  return "usage: loraptor [train] --pretrained_model_name_or_path FILE --dataset_config FILE --output_dir DIR "
         "...\n       loraptor --help lists all options\n";
}

std::string help_text() {
  std::string out = usage_text();
  out +=
      "\nTrains LoRA for Stable Diffusion 3 and 3.5. Options are those of sd-scripts' sd3_train_network.py;\n"
      "those marked + are additions. A prefix of a name will do where it fits one option only.\n"
      "Other commands, each with its own --help, and loraptor --version:\n";
  for (const Command& command : commands()) {
    if (command.name != std::string("train")) out += fmt::format("  loraptor {:<10} {}\n", command.name, command.help);
  }
  std::string heading;
  for (const Option& option : all_options()) {
    if (option.group != heading) out += fmt::format("\n{}\n", heading = option.group);
    append_option(out, option);
  }
  return out;
}

std::string options_help(const std::vector<Option>& options) {
  std::string out;
  for (const Option& option : options) append_option(out, option);
  return out;
}

std::string options_markdown() {
  std::string out =
      "# Options\n\nEvery option of `loraptor train`, which is also what runs when the first word is an option. Names, "
      "types and\ndefaults are those of sd-scripts' `sd3_train_network.py`; **+** marks additions. This page is "
      "printed "
      "by\n`loraptor options`.\n\nTypes: `flag` takes no value, `str*` and `float*` take any number of values, "
      "`int|frac` "
      "is a number of steps, a\nfraction below 1, or a percentage such as `10%`. `–` means unset.\n";
  std::string heading;
  for (const Option& option : all_options()) {
    if (option.group != heading) {
      out += fmt::format("\n## {}\n\n| Option | Type | Default | Meaning |\n| --- | --- | --- | --- |\n",
                         heading = option.group);
    }
    const bool is_unset = std::holds_alternative<std::monostate>(option.default_value);
    std::string value = option.kind == Kind::flag ? "off" : default_text(option);
    if (value.empty()) value = is_unset || option.kind != Kind::text ? "–" : "`\"\"`";
    std::string meaning = option.help;
    if (!option.choices.empty()) {
      meaning += fmt::format("{}One of `{}`.", meaning.empty() ? "" : " ", fmt::join(option.choices, "`, `"));
    }
    if (const std::string status = status_text(option); !status.empty()) {
      meaning += fmt::format("{}*{}*", meaning.empty() ? "" : " ", status);
    }
    out += fmt::format("| `--{}`{} | {} | {} | {} |\n", option.name, option.is_addition ? " **+**" : "",
                       table_cell(kind_name(option.kind)), value, table_cell(meaning));
  }
  return out;
}

}  // namespace loraptor::cli
