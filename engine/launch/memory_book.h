// The book of one rank's memory: what it was taken for, use by use, and last the KV pages, which get a share
// of what everything else has left. On a device the rank is built on a rehearsal first (Backend::rehearsal),
// whose book says how much it needs; that is taken in one piece, and then the rank is built in it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/options.h"
#include "kernels/backend.h"

namespace uhd {

// Belongs to the thread that starts the rank. The backend is borrowed.
class MemoryBook {
 public:
  // The book divides what is free on the device now.
  explicit MemoryBook(const Backend& backend);

  // Books what make() takes of the backend's memory. Where that is not there, OutOfMemory says for what it
  // was and what the uses before it hold.
  template <class Make>
  auto take(std::string use, const Make& make) {
    const size_t before = backend_.allocated();
    try {
      auto made = make();
      uses_.push_back({std::move(use), static_cast<int64_t>(backend_.allocated() - before)});
      return made;
    } catch (const OutOfMemory& e) {
      throw OutOfMemory(message(e.what(), "; it is for ", use, ". ", summary()));
    }
  }

  // The book of a rehearsal: takes all that it needed from the device itself, in one piece.
  void reserve(Backend& device) const;

  // Bytes for KV pages: those that the options name; else on a device the options' share of what is free, on
  // the host a third of what is free for each of the `ranks` that may be on it.
  int64_t for_pages(const EngineOptions& options, int ranks) const;

  // "79.2 GiB were free; language model 12.6 GiB, ..., and 3.1 GiB are left", on a device with the two ends.
  std::string summary() const;
  // Logs the same as a table, in lines that begin with the owner of the memory.
  void tell(const std::string& whose) const;

 private:
  struct Use {
    std::string name;
    int64_t bytes = 0;
  };
  // Returns what libraries and other programs took of the device meanwhile.
  int64_t taken_beside() const;

  const Backend& backend_;
  const int64_t free_at_start_;
  const int64_t allocated_at_start_;
  std::vector<Use> uses_;
};

// Takes the scratch that products of all that was packed need, and books it.
void take_scratch(MemoryBook& memory, Backend& backend);

}  // namespace uhd
