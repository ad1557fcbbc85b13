// Results kept by key, the least recently used forgotten first.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace loraptor::pipeline {

template <class Value>
class Recent {
 public:
  /// capacity_bytes   what all values together may take, as counted by keep()
  explicit Recent(int64_t capacity_bytes) : capacity_(capacity_bytes) {}

  /// The value of a key, or null. Valid until the next keep().
  const Value* find(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->value;
  }

  /// Adds a value that is not there yet and forgets old ones until all fit; a value larger than everything is not kept.
  void keep(const std::string& key, Value value, int64_t bytes) {
    if (bytes > capacity_) return;
    while (used_ + bytes > capacity_) {
      used_ -= entries_.back().bytes;
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({key, std::move(value), bytes});
    by_key_[key] = entries_.begin();
    used_ += bytes;
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    Value value;
    int64_t bytes;
  };
  int64_t capacity_, used_ = 0;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace loraptor::pipeline
