#include "engine/leader/request_memory.h"

namespace uhd {

namespace {

int64_t total_bytes(int64_t bytes, const RequestMemory::Images& images) {
  for (const auto& image : images) bytes += static_cast<int64_t>(image->size());
  return bytes;
}

}  // namespace

std::shared_ptr<void> RequestMemory::take(int64_t bytes, Images& images) {
  const int64_t needed = total_bytes(bytes, images);
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->has_room(needed)) return nullptr;
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

bool RequestMemory::share(std::shared_ptr<const Grammar>& grammar) {
  const auto bytes = static_cast<int64_t>(grammar->bytes());
  const std::lock_guard lock(state_->mutex);
  auto& grammars = state_->grammars;
  if (const auto at = grammars.find(grammar.get()); at != grammars.end()) {
    if (auto holder = at->second.lock()) {
      grammar = std::move(holder);
      return true;
    }
  }
  if (!state_->has_room(bytes)) return false;
  state_->in_use += bytes;
  const Grammar* key = grammar.get();
  // The function that forgets the grammar holds it too, so that it lets go of it when it is called.
  grammar = {key, [state = state_, bytes, grammar](const Grammar* gone) mutable {
               state->forget(gone, bytes);
               grammar.reset();
               state.reset();
             }};
  grammars[key] = grammar;
  return true;
}

bool RequestMemory::has_room(int64_t bytes, const Images& images) const {
  const int64_t needed = total_bytes(bytes, images);
  const std::lock_guard lock(state_->mutex);
  return state_->has_room(needed);
}

int64_t RequestMemory::in_use() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_use;
}

}  // namespace uhd
