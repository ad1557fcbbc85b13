// What became of the modules of a file that a network was filled from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace loraptor::network {

struct LoadReport {
  std::vector<std::string> unknown;  // modules and keys of the file that the network lacks
  std::vector<std::string> missing;  // modules of the network that the file lacks
  size_t loaded = 0;                 // modules

  /// Logs it, one line each kind. Throws FileError if no module was loaded.
  void tell(const std::filesystem::path& path) const;
};

}  // namespace loraptor::network
