// A CacheQuestion asks the engine's thread which parts of a request that is only planned are kept now. All
// names are made by the caller, so that looking them up is all that is left to do.
#pragma once

#include <future>
#include <memory>
#include <vector>

#include "base/hash.h"
#include "base/visual_span.h"
#include "engine/request_plan.h"

namespace uhd {

struct CacheQuestion {
  std::vector<Fingerprint> pages;  // of the prompt, from its beginning (prompt_pages)
  VisualSpans spans;               // with the slices that are known
  std::promise<CachedParts> answer;
  std::shared_ptr<void> place;  // the place of one that asks, free when this is gone
};

}  // namespace uhd
