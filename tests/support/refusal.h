// What an action says when it refuses a file.
#pragma once

#include <string>

#include "base/error.h"

namespace loraptor::test {

/// The text of the FileError that the action throws; "" if nothing was wrong.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

}  // namespace loraptor::test
