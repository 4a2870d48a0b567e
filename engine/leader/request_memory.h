// Memory of accepted requests: their encoded images until they are cut, and their prompts. What does not fit
// is refused before it is queued.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace uhd {

// Thread-safe. What it hands out may outlive it.
class RequestMemory {
 public:
  explicit RequestMemory(int64_t budget) : state_(std::make_shared<State>()) { state_->budget = budget; }

  using Images = std::vector<std::shared_ptr<const std::string>>;
  // Counts `bytes` until the result is gone, and each image until the last of its holders lets it go:
  // `images` become holders. The same image in memory, as the choices of a call name it, counts once. Null:
  // there is no room; a request that finds nothing counted is never refused.
  std::shared_ptr<void> take(int64_t bytes, Images& images);

  int64_t in_use() const;

 private:
  struct State {
    mutable std::mutex mutex;
    int64_t budget = 0;
    int64_t in_use = 0;
    std::unordered_map<const std::string*, std::weak_ptr<const std::string>> images;
  };
  static std::shared_ptr<const std::string> counted(const std::shared_ptr<State>& state,
                                                    std::shared_ptr<const std::string> image);

  std::shared_ptr<State> state_;
};

}  // namespace uhd
