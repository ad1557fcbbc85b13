#include "support/temp_folder.h"

#include <stdlib.h>

#include "base/error.h"

namespace loraptor::test {

TempFolder::TempFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "loraptor-test-XXXXXX").string();
  LORAPTOR_ASSERT(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace loraptor::test
