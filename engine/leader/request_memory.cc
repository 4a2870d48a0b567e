#include "engine/leader/request_memory.h"

namespace uhd {

namespace {

int64_t total_bytes(int64_t bytes, const RequestMemory::Images& images) {
  for (const auto& image : images) bytes += static_cast<int64_t>(image->size());
  return bytes;
}

}  // namespace

bool RequestMemory::State::has_room(const std::string& client, int64_t needed) const {
  const int64_t left = budget - in_use - needed, own = of(client);
  return in_use == 0 || (left >= 0 && (own == 0 || own + needed <= 2 * left));
}

int64_t RequestMemory::State::of(const std::string& client) const {
  const auto at = clients.find(client);
  return at == clients.end() ? 0 : at->second;
}

void RequestMemory::State::count(const std::string& client, int64_t bytes) {
  if (bytes == 0) return;
  in_use += bytes;
  const auto at = clients.try_emplace(client).first;
  at->second += bytes;
  if (at->second == 0) clients.erase(at);
}

void RequestMemory::State::give_back(const std::string& client, int64_t bytes) {
  const std::lock_guard lock(mutex);
  count(client, -bytes);
}

void RequestMemory::State::forget(const Grammar* gone, const std::string& client, int64_t bytes) {
  const std::lock_guard lock(mutex);
  count(client, -bytes);
  const auto at = grammars.find(gone);
  if (at != grammars.end() && at->second.expired()) grammars.erase(at);
}

std::shared_ptr<void> RequestMemory::take(const std::string& client, int64_t bytes, Images& images) {
  const int64_t needed = total_bytes(bytes, images);
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->has_room(client, needed)) return nullptr;
    state_->count(client, needed);
  }
  const auto give_back = [state = state_, client](int64_t gone) { state->give_back(client, gone); };
  for (auto& image : images) {
    const std::string* key = image.get();
    image = {key,
             [give_back, image](const std::string* gone) { give_back(static_cast<int64_t>(gone->size())); }};
  }
  return {state_.get(), [give_back, bytes](void*) { give_back(bytes); }};
}

bool RequestMemory::share(const std::string& client, std::shared_ptr<const Grammar>& grammar) {
  const auto bytes = static_cast<int64_t>(grammar->bytes());
  const std::lock_guard lock(state_->mutex);
  auto& grammars = state_->grammars;
  if (const auto at = grammars.find(grammar.get()); at != grammars.end()) {
    if (auto holder = at->second.lock()) {
      grammar = std::move(holder);
      return true;
    }
  }
  if (!state_->has_room(client, bytes)) return false;
  state_->count(client, bytes);
  const Grammar* key = grammar.get();
  // The function that forgets the grammar holds it too, so that it lets go of it when it is called.
  grammar = {key, [state = state_, client, bytes, grammar](const Grammar* gone) mutable {
               state->forget(gone, client, bytes);
               grammar.reset();
               state.reset();
             }};
  grammars[key] = grammar;
  return true;
}

bool RequestMemory::has_room(const std::string& client, int64_t bytes, const Images& images) const {
  const int64_t needed = total_bytes(bytes, images);
  const std::lock_guard lock(state_->mutex);
  return state_->has_room(client, needed);
}

int64_t RequestMemory::in_use() const {
  const std::lock_guard lock(state_->mutex);
  return state_->in_use;
}

int64_t RequestMemory::in_use_by(const std::string& client) const {
  const std::lock_guard lock(state_->mutex);
  return state_->of(client);
}

}  // namespace uhd
