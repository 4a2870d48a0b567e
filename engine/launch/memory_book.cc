#include "engine/launch/memory_book.h"

#include <algorithm>
#include <cstdio>

#include "base/bytes_text.h"
#include "base/host_memory.h"
#include "base/log.h"

namespace uhd {

MemoryBook::MemoryBook(const Backend& backend)
    : backend_(backend),
      free_at_start_(static_cast<int64_t>(backend.free_memory())),
      allocated_at_start_(static_cast<int64_t>(backend.allocated())) {}

void MemoryBook::reserve(Backend& device) const {
  try {
    device.reserve(backend_.reserved());
  } catch (const OutOfMemory& e) {
    throw OutOfMemory(message(e.what(), "; it is for all that was planned. ", summary()));
  }
}

int64_t MemoryBook::for_pages(const EngineOptions& options, int ranks) const {
  if (options.kv_memory_bytes > 0) return options.kv_memory_bytes;
  if (backend_.host_memory()) return available_memory() / 3 / ranks;
  return static_cast<int64_t>(static_cast<double>(backend_.free_memory()) * options.kv_memory_share);
}

int64_t MemoryBook::taken_beside() const {
  const int64_t gone = free_at_start_ - static_cast<int64_t>(backend_.free_memory());
  return std::max<int64_t>(0, gone - static_cast<int64_t>(backend_.allocated()) + allocated_at_start_);
}

std::string MemoryBook::summary() const {
  std::string text;
  for (const Use& use : uses_)
    text += message(text.empty() ? "" : ", ", use.name, ' ', bytes_text(use.bytes));
  if (text.empty()) text = "nothing is taken yet";
  if (backend_.host_memory()) return text;
  return message(bytes_text(free_at_start_), " were free: ", text, ", beside them ",
                 bytes_text(taken_beside()), "; ", bytes_text(static_cast<int64_t>(backend_.free_memory())),
                 " are left");
}

void MemoryBook::tell(const std::string& whose) const {
  const std::string title = "memory of " + whose;
  const auto row = [&](const std::string& use, int64_t bytes) {
    char text[96];
    std::snprintf(text, sizeof(text), "%s: %-32s %10.1f MiB", title.c_str(), use.c_str(),
                  static_cast<double>(bytes) / (1 << 20));
    log_info(text);
  };
  log_info(message(title, ": ", backend_.description()));
  if (!backend_.host_memory()) {
    row("free at start", free_at_start_);
    row("taken in one piece", static_cast<int64_t>(backend_.reserved()));
  }
  for (const Use& use : uses_) row(use.name, use.bytes);
  if (backend_.host_memory()) return;
  row("libraries and others", taken_beside());
  row("left", static_cast<int64_t>(backend_.free_memory()));
}

void take_scratch(MemoryBook& memory, Backend& backend) {
  memory.take("scratch of products", [&] {
    backend.take_scratch();
    return true;
  });
}

}  // namespace uhd
