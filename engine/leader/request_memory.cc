#include "engine/leader/request_memory.h"

namespace uhd {

std::shared_ptr<void> RequestMemory::take(int64_t bytes, Images& images) {
  int64_t needed = bytes;
  for (const auto& image : images) needed += static_cast<int64_t>(image->size());
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->in_use > 0 && state_->in_use + needed > state_->budget) return nullptr;
    state_->in_use += needed;
  }
  for (auto& image : images) {
    const std::string* key = image.get();
    image = {key, [state = state_, image](const std::string* gone) {
               state->give_back(static_cast<int64_t>(gone->size()));
             }};
  }
  return {state_.get(), [state = state_, bytes](void*) { state->give_back(bytes); }};
}

int64_t RequestMemory::in_use() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_use;
}

}  // namespace uhd
