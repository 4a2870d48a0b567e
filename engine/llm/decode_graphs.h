// DecodeGraphs records steps in which every sequence decodes one token, once for each of a few batch sizes: a
// step is then one upload and one call, however many kernels it has.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "model/language/forward_input.h"
#include "model/language/llama.h"

namespace uhd {

// DecodeGraphs is not thread-safe. Backend and group are borrowed and must outlive it. It does nothing if the
// backend does not record, or if the group's calls cannot be recorded. All ranks of a group decide alike.
class DecodeGraphs {
 public:
  // `spare_page` is a page that no sequence holds.
  DecodeGraphs(Backend& backend, const Communicator& group, const StepLimits& limits, int32_t spare_page);

  // Returns the step with rows added up to the next batch size, and with a page table for the longest
  // context, so that all steps of that size have equal sizes throughout. The added rows are one-token
  // sequences that all write the first slot of the spare page. Returns null if it is not such a step. The
  // result is valid until the next call.
  const ForwardInput* padded(const ForwardInput& input);

  // Runs the operations that `queue` calls for a padded step of `rows` rows. The first time they run
  // directly, which also makes the things that only a first use may make (plans of products, connections);
  // later they run as recorded. `variant` tells apart steps of equal size that do different things. `queue`
  // must do the same each time, on tensors at the same places.
  void run(int64_t rows, int variant, const std::function<void()>& queue);

  size_t recorded() const { return recordings_.size(); }
  // Returns the batch sizes for up to `max_sequences` sequences, recorded or not.
  static std::vector<int> batch_sizes(int max_sequences);

 private:
  int batch_size(size_t sequences) const;

  Backend& backend_;
  int max_sequences_ = 0;  // 0: nothing is recorded
  int page_size_;
  int pages_;  // pages of a sequence with the longest context
  int32_t spare_page_;
  ForwardInput padded_;
  std::map<std::pair<int64_t, int>, std::unique_ptr<Recording>> recordings_;
};

}  // namespace uhd
