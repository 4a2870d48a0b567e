// A RequestPlan says what a request would cost before anything is paid: it follows from the sizes of its
// images and from its text. Plain data.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/cost.h"
#include "engine/request.h"

namespace uhd {

struct PiecePlan {
  int width = 0;  // pixels
  int height = 0;
  int patches = 0;
  int tokens = 0;  // tokens of the piece, and none of those between and around pieces
};

struct ImagePlan {
  ImageReport report;       // the report that an answer would give, if nothing were cached
  double scale_across = 0;  // pixels that the model sees for one of the image's; below 1 it sees fewer
  double scale_down = 0;
  PiecePlan slice;  // each slice, for they are all alike; zeros if there is none
  PiecePlan overview;
  int visual_tokens = 0;
};

// These parts of a request are kept at this moment, and would not be computed for it.
struct CachedParts {
  int tokens = 0;  // of the prompt, from its beginning, in whole pages of keys and values
  int slices = 0;  // with overviews: their rows are in a store or on their way, or lie within the tokens
};

struct RequestPlan {
  std::vector<ImagePlan> images;
  std::vector<int32_t> prompt_ids;  // -1 where a visual token stands
  int prompt_tokens = 0;            // image tokens included
  int image_tokens = 0;             // separators included
  int max_tokens = 0;               // tokens of one answer, as far as the context has room
  int answers = 1;
  // Pages of the KV cache that one answer needs, if it shares none.
  int page_size = 0;  // tokens
  int prompt_pages = 0;
  int most_pages = 0;  // pages of an answer of max_tokens
  // The request alone takes so long, with the whole answer, as steps were measured; nothing before one was.
  std::optional<StageSeconds> predicted;
  double queued_seconds = 0;  // predicted for all requests that are here
  // As far as pictures are known by their bytes; nothing if the engine's thread had no time to look.
  std::optional<CachedParts> cached;
  std::optional<Failure> refusal;  // submit() would say this now; empty: it would take the request
};

// The arithmetic of a request, over all ranks, if nothing is cached.
struct RequestCost {
  double encode_flops = 0;   // the vision tower, and what compresses its features
  double prefill_flops = 0;  // the language model over the prompt, and the first token's logits
};
// Prices a plan. Must be thread-safe.
using PlanPrice = std::function<RequestCost(const RequestPlan&)>;

}  // namespace uhd
