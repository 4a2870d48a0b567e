// Memory of accepted requests: their encoded images until they are cut, their tokens, and their grammars. A
// request that does not fit is refused before it is queued. No client keeps all of it: one that holds some
// takes more only if it then holds at most twice what is left free, so there is room for others whoever they
// are (dynamic thresholds: Choudhury and Hahne, 1998). One client alone comes to two thirds, and two come to
// two fifths each.
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

  // Counts a compiled grammar once for all who hold it, until the last lets it go, as the first one's:
  // `grammar` becomes a holder. Returns false when there is no room for this client.
  bool share(const std::string& client, std::shared_ptr<const Grammar>& grammar);

  // Says whether take() would find room now; it takes nothing.
  bool has_room(const std::string& client, int64_t bytes, const Images& images) const;

  int64_t in_use() const;
  int64_t in_use_by(const std::string& client) const;

 private:
  struct State {
    mutable std::mutex mutex;
    int64_t budget = 0;
    int64_t in_use = 0;
    std::map<std::string, int64_t> clients;                           // bytes of each
    std::map<const Grammar*, std::weak_ptr<const Grammar>> grammars;  // their holders
    // These are called under the lock.
    bool has_room(const std::string& client, int64_t needed) const;
    int64_t of(const std::string& client) const;
    void count(const std::string& client, int64_t bytes);  // negative: they are given back

    void give_back(const std::string& client, int64_t bytes);
    void forget(const Grammar* gone, const std::string& client, int64_t bytes);
  };

  std::shared_ptr<State> state_;
};

}  // namespace uhd
