// Memory of accepted requests: their encoded images until they are cut, their tokens, and their grammars. A
// request that does not fit is refused before it is queued. No client can keep all of it: one takes more only
// while it holds at most twice what is free, so a part is left to others whoever they are (dynamic
// thresholds: Choudhury and Hahne, 1998). One client alone comes to two thirds, and two come to two fifths
// each.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/text/grammar.h"

namespace uhd {

// Thread-safe. Its holders may outlive it.
class RequestMemory {
 public:
  explicit RequestMemory(int64_t budget) : state_(std::make_shared<State>()) { state_->budget = budget; }

  using Images = std::vector<std::shared_ptr<const std::string>>;
  // Counts `bytes` until the result is gone, and each image until its last holder lets it go: `images` become
  // such holders. The result is null when there is no room for this client; a request that finds nothing
  // counted is never refused.
  std::shared_ptr<void> take(const std::string& client, int64_t bytes, Images& images);

  // Counts a compiled grammar once for all who hold it, until the last lets it go: `grammar` becomes a
  // holder. Returns false when there is no room.
  bool share(std::shared_ptr<const Grammar>& grammar);

  // Says whether take() would find room now; it takes nothing.
  bool has_room(const std::string& client, int64_t bytes, const Images& images) const;

  int64_t in_use() const;
  int64_t in_use_by(const std::string& client) const;

 private:
  struct State {
    mutable std::mutex mutex;
    int64_t budget = 0;
    int64_t in_use = 0;
    std::map<std::string, int64_t> clients;                           // bytes of each, but for grammars
    std::map<const Grammar*, std::weak_ptr<const Grammar>> grammars;  // their holders
    // These are called under the lock.
    bool has_room(int64_t needed) const { return in_use == 0 || in_use + needed <= budget; }
    bool has_room_for(const std::string& client, int64_t needed) const;
    int64_t of(const std::string& client) const;

    void give_back(const std::string& client, int64_t bytes);
    void forget(const Grammar* gone, int64_t bytes) {
      const std::lock_guard lock(mutex);
      in_use -= bytes;
      const auto at = grammars.find(gone);
      if (at != grammars.end() && at->second.expired()) grammars.erase(at);
    }
  };

  std::shared_ptr<State> state_;
};

}  // namespace uhd
