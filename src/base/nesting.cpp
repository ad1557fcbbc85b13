#include "base/nesting.h"

namespace loraptor {

bool nests_deeper(std::string_view json, int levels) {
  int open = 0;
  bool is_quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_quoted) {
      if (c == '\\') ++i;
      if (c == '"') is_quoted = false;
      continue;
    }
    if (c == '"') is_quoted = true;
    if (c == ']' || c == '}') --open;
    if ((c == '[' || c == '{') && ++open > levels) return true;
  }
  return false;
}

}  // namespace loraptor
