#include "engine/leader/request_memory.h"

#include <unordered_set>

namespace uhd {

std::shared_ptr<void> RequestMemory::take(int64_t bytes, Images& images) {
  State& state = *state_;
  Images held;  // let go after the lock: the last holder of an image takes it
  const std::lock_guard lock(state.mutex);
  int64_t needed = bytes;
  std::unordered_set<const std::string*> anew;
  for (const auto& image : images) {
    const auto known = state.images.find(image.get());
    held.push_back(known == state.images.end() ? nullptr : known->second.lock());
    if (held.back() == nullptr && anew.insert(image.get()).second)
      needed += static_cast<int64_t>(image->size());
  }
  if (state.in_use > 0 && state.in_use + needed > state.budget) return nullptr;
  state.in_use += needed;
  for (size_t i = 0; i < images.size(); ++i) {
    if (held[i] == nullptr) held[i] = state.images[images[i].get()].lock();  // named twice by this request
    if (held[i] == nullptr) held[i] = counted(state_, images[i]);
  }
  images.swap(held);
  return {state_.get(), [shared = state_, bytes](void*) {
            const std::lock_guard guard(shared->mutex);
            shared->in_use -= bytes;
          }};
}

int64_t RequestMemory::in_use() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_use;
}

// The mutex is held.
std::shared_ptr<const std::string> RequestMemory::counted(const std::shared_ptr<State>& state,
                                                          std::shared_ptr<const std::string> image) {
  const std::string* key = image.get();
  std::shared_ptr<const std::string> holder(key, [state, image = std::move(image)](const std::string* gone) {
    const std::lock_guard lock(state->mutex);
    state->in_use -= static_cast<int64_t>(gone->size());
    const auto found = state->images.find(gone);
    if (found != state->images.end() && found->second.expired()) state->images.erase(found);
  });
  state->images[key] = holder;
  return holder;
}

}  // namespace uhd
