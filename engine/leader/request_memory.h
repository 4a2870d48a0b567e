// Memory of accepted requests: their encoded images until they are cut, and their tokens. A request that does
// not fit is refused before it is queued.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace uhd {

// Thread-safe. Its holders may outlive it.
class RequestMemory {
 public:
  explicit RequestMemory(int64_t budget) : state_(std::make_shared<State>()) { state_->budget = budget; }

  using Images = std::vector<std::shared_ptr<const std::string>>;
  // Counts `bytes` until the result is gone, and each image until its last holder lets it go: `images` become
  // such holders. The result is null when there is no room; a request that finds nothing counted is never
  // refused.
  std::shared_ptr<void> take(int64_t bytes, Images& images);

  // Says whether take() would find room now; it takes nothing.
  bool has_room(int64_t bytes, const Images& images) const;

  int64_t in_use() const;

 private:
  struct State {
    mutable std::mutex mutex;
    int64_t budget = 0;
    int64_t in_use = 0;
    bool has_room(int64_t needed) const { return in_use == 0 || in_use + needed <= budget; }  // locked
    void give_back(int64_t bytes) {
      const std::lock_guard lock(mutex);
      in_use -= bytes;
    }
  };

  std::shared_ptr<State> state_;
};

}  // namespace uhd
